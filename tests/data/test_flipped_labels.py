"""Labels flipped on purpose: so many, of the training rows alone, the same whoever asks, and another run's name."""

import numpy as np
import pytest

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.data.datamodule import DataModule
from leyden.data.flipped_labels import with_flips
from leyden.runs.fingerprint import identity
from leyden.training import build
from leyden.utils.errors import UserError


def data(*more: str) -> DataModule:
    return build.experiment(check(compose(["data=digits", *more]))).data


@pytest.mark.parametrize("flips", ["uniform", "pairs"])
def test_a_share_of_the_training_labels_is_wrong(flips: str) -> None:
    clean = data("seed=3")
    flipped = data("data.flipped_labels=0.1", f"data.flips={flips}", "seed=3")
    for one, other in zip(clean.splits, flipped.splits, strict=True):
        np.testing.assert_array_equal(one, other)  # flips move no row to another split
    before, after = clean.table.index.targets, flipped.table.index.targets
    wrong = np.flatnonzero(before != after)
    assert len(wrong) == round(0.1 * len(clean.splits.train))
    assert np.isin(wrong, clean.splits.train).all()
    steps = np.bincount((after - before)[wrong] % 10, minlength=10)
    assert steps[1] == len(wrong) if flips == "pairs" else steps[1:].min() > 0
    np.testing.assert_array_equal(flipped.source_targets, before)
    assert flipped.spec.class_counts == tuple(np.bincount(after[flipped.splits.train]).tolist())
    assert f"{len(wrong)} labels of 1,258 training rows made wrong" in " ".join(flipped.remarks())


def test_uniform_flips_go_to_each_other_class_alike() -> None:
    targets = np.zeros(9000, np.int64)
    found = with_flips(targets, np.arange(9000), 4, 0.5, "uniform", 0)
    counts = np.bincount(found, minlength=4)
    assert counts[0] == 4500
    assert np.abs(counts[1:] - 1500).max() < 4 * np.sqrt(1500)  # four standard deviations
    assert not targets.any()  # the given array is left alone


def test_the_seed_chooses_the_rows() -> None:
    one, same, other = (
        data("data.flipped_labels=0.1", f"data.flip_seed={seed}").table.index.targets for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_it_is_another_run_and_none_where_nothing_is_flipped() -> None:
    def name(*more: str) -> str:
        return identity(check(compose(["data=digits", *more])), "content")

    flipped = {
        name("data.flipped_labels=0.1", *more) for more in ([], ["data.flips=pairs"], ["data.flip_seed=1"])
    }
    assert len(flipped) == 3
    assert name() not in flipped
    assert name("data.flip_seed=1") == name()


@pytest.mark.parametrize(
    ("targets", "classes"),
    [(np.zeros((3, 1)), 1), (np.zeros((3, 2), np.uint8), 2), (np.zeros(3, np.int64), 1)],
)
def test_what_has_no_other_class_is_refused(targets: np.ndarray, classes: int) -> None:
    with pytest.raises(UserError, match=r"data.flipped_labels=0.1: needs two classes"):
        with_flips(targets, np.arange(3), classes, 0.1, "uniform", 0)
