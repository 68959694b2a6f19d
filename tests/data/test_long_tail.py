"""Long tails: the published counts, the same subset whatever else is drawn, and what cannot be made."""

import numpy as np
import pytest

from leyden.data.long_tail import Exponential, KeepAll, Share, Step
from leyden.utils.errors import UserError

CIFAR10 = np.repeat(np.arange(10), 5000)
CIFAR100 = np.repeat(np.arange(100), 500)
NAMES = tuple(map(str, range(100)))


def counts(labels: np.ndarray, classes: int, ratio: float) -> list[int]:
    kept = Exponential(ratio)(labels, NAMES[:classes])
    assert (np.diff(kept) > 0).all()
    return np.bincount(labels[kept], minlength=classes).tolist()


@pytest.mark.parametrize("ratio", [100, 100.0, 1 / 0.01])
def test_cifar10_lt_as_published(ratio: float) -> None:
    assert counts(CIFAR10, 10, ratio) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


@pytest.mark.parametrize(
    ("ratio", "ten", "hundred"),
    [(200, 11_203, 9502), (100, 12_406, 10_847), (50, 13_996, 12_608), (10, 20_431, 19_573)],
)
def test_totals_as_published(ratio: float, ten: int, hundred: int) -> None:
    assert sum(counts(CIFAR10, 10, ratio)) == ten
    assert sum(counts(CIFAR100, 100, ratio)) == hundred


def test_ratio_one_keeps_all_and_a_small_class_keeps_what_it_has() -> None:
    labels = np.repeat([0, 1, 2], [100, 3, 40])
    assert len(Exponential(1)(labels, NAMES[:3])) == 143
    assert np.bincount(labels[Exponential(4)(labels, NAMES[:3])]).tolist() == [100, 3, 25]
    assert KeepAll()(labels, NAMES[:3]).tolist() == list(range(143))


def test_step() -> None:
    kept = Step(100)(CIFAR10, NAMES[:10])
    assert np.bincount(CIFAR10[kept]).tolist() == [5000] * 5 + [50] * 5
    assert np.bincount(CIFAR10[Step(10, 0.2)(CIFAR10, NAMES[:10])]).tolist() == [5000] * 8 + [500] * 2


def test_the_subset_depends_on_seed_and_class_alone() -> None:
    first = Exponential(100)(CIFAR10, NAMES[:10])
    np.random.rand(100)  # noqa: NPY002 (published code would now draw another subset)
    np.testing.assert_array_equal(first, Exponential(100)(CIFAR10, NAMES[:10]))
    assert set(first) != set(Exponential(100, seed=1)(CIFAR10, NAMES[:10]))
    smaller = Exponential(200)(CIFAR10, NAMES[:10])
    assert set(smaller) <= set(first)  # a longer tail is a part of the shorter


def test_one_class_thinned_to_a_share() -> None:
    labels = np.repeat([0, 1], [3400, 500])
    kept = Share("spam", 0.02)(labels, ("ham", "spam"))
    n = np.bincount(labels[kept])
    assert n[0] == 3400
    assert n[1] / n.sum() == pytest.approx(0.02, abs=0.0003)
    with pytest.raises(UserError, match=r"no such class.*spam"):
        Share("span", 0.02)(labels, ("ham", "spam"))
    with pytest.raises(UserError, match="can only lower"):
        Share("spam", 0.5)(labels, ("ham", "spam"))
