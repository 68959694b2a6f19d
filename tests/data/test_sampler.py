import time
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.sampler import BucketedOrder, EpochSampler, Sequential, bucket_rows
from leyden.data.sampling_policies import Instance, Power, SamplingPolicy
from leyden.utils.errors import UserError

CIFAR10_LT = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]  # Cao et al. 2019, imbalance 100: 12,406


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def uses(plan: EpochSampler, n: int, epochs: int) -> np.ndarray:
    return sum((np.bincount(plan.epoch(e), minlength=n) for e in range(epochs)), np.zeros(n, int))


@pytest.mark.parametrize("counts", [[1], [1, 1], [3, 0, 4], [4095, 1], [4096, 4097], CIFAR10_LT], ids=str)
@pytest.mark.parametrize("policy", [Instance(), Power(1.0)])
def test_instance_sampling_is_an_exact_permutation(counts: list[int], policy: SamplingPolicy) -> None:
    labels = labels_of(counts)
    plan = EpochSampler(labels, len(counts), policy, seed=3)
    assert len(plan) == len(labels)
    for epoch in (0, 1, 7):
        order = plan.epoch(epoch)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(len(labels)))


def test_balanced_counts_on_a_long_tail() -> None:
    labels = labels_of(CIFAR10_LT)
    plan = EpochSampler(labels, 10, Power(0.0), seed=1)
    ups = np.zeros(10)
    for epoch in range(40):
        counts = np.bincount(labels[plan.epoch(epoch)])
        assert set(counts) == {1240, 1241}
        assert counts.sum() == 12_406
        ups += counts - 1240
    assert ups.sum() == 40 * 6
    assert np.abs(ups - 24).max() < 8, "the extra draws do not go round the classes"


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_every_sample_is_used_before_any_repeats_across_epochs(q: float) -> None:
    labels = labels_of(CIFAR10_LT)
    plan = EpochSampler(labels, 10, Power(q), seed=5)
    for epochs in (1, 3, 6):
        used = uses(plan, len(labels), epochs)
        for c in range(10):
            assert np.ptp(used[labels == c]) <= 1


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 3000), min_size=1, max_size=15).filter(any),
    q=st.floats(0, 1),
    length=st.integers(1, 5000),
    seed=st.integers(0, 2**40),
)
def test_quotas_sum_to_the_length_and_follow_the_prior(
    counts: list[int], q: float, length: int, seed: int
) -> None:
    labels = labels_of(counts)
    plan = EpochSampler(labels, len(counts), Power(q), seed, length)
    drawn = np.zeros(len(labels), int)
    for epoch in range(3):
        order, wanted = plan.epoch(epoch), length * plan.prior(epoch)
        got = np.bincount(labels[order], minlength=len(counts))
        assert len(order) == got.sum() == length == len(plan)
        assert (np.abs(got - wanted) < 1 + 1e-6).all()
        assert not got[np.array(counts) == 0].any()
        drawn += np.bincount(order, minlength=len(labels))
    for c in np.flatnonzero(counts):
        assert np.ptp(drawn[labels == c]) <= 1


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0])
def test_an_epoch_is_a_pure_function(q: float) -> None:
    labels = labels_of(CIFAR10_LT)
    forward = EpochSampler(labels, 10, Power(q), seed=2, length=5000)
    orders = [forward.epoch(e) for e in range(5)]
    for e in (4, 0, 3, 3, 1, 2):
        np.testing.assert_array_equal(forward.epoch(e), orders[e])
        np.testing.assert_array_equal(
            EpochSampler(labels, 10, Power(q), seed=2, length=5000).epoch(e), orders[e]
        )
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(EpochSampler(labels, 10, Power(q), seed=3, length=5000).epoch(0), orders[0])


@pytest.mark.parametrize("n", [40, 4000])
def test_each_pass_over_a_class_has_an_order_of_its_own(n: int) -> None:
    plan = EpochSampler(np.zeros(n, int), 1, Instance(), seed=0, length=n // 2)
    halves = [set(plan.epoch(e).tolist()) for e in range(60)]
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        assert len(first | second) == n
    assert len({tuple(sorted(half)) for half in halves}) == 60


def test_global_generators_are_neither_read_nor_moved() -> None:
    labels = labels_of([50, 5])
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr] # noqa: NPY002
    first = EpochSampler(labels, 2, Power(0.0), seed=0).epoch(0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # type: ignore[index] # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, EpochSampler(labels, 2, Power(0.0), seed=0).epoch(0))


@pytest.mark.parametrize("counts", [[4], [2, 2]])
def test_small_permutations_are_uniform(counts: list[int]) -> None:
    """Chi-square over the 24 orders of 4 samples: below 49.7 with probability 0.999 (23 dof)."""
    plan = EpochSampler(labels_of(counts), len(counts), Instance(), seed=0)
    seen = {}
    for epoch in range(2400):
        key = tuple(plan.epoch(epoch))
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 24
    assert sum((n - 100) ** 2 / 100 for n in seen.values()) < 49.7


def test_prior_is_that_of_the_formula() -> None:
    counts = np.array([90, 0, 9, 1])
    labels = labels_of(counts.tolist())
    for q, want in ((1.0, counts / 100), (0.0, [1 / 3, 0, 1 / 3, 1 / 3]), (0.5, np.sqrt(counts))):
        got = EpochSampler(labels, 4, Power(q), seed=0).prior(0)
        np.testing.assert_allclose(got, np.array(want) / np.sum(want))


@dataclass(frozen=True)
class Progressive:
    """A user's own policy (Kang et al. 2020): from the data's shares to equal ones."""

    def prior(self, counts: np.ndarray, epoch: int, epochs: int) -> np.ndarray:
        t = epoch / epochs
        return (1 - t) * counts / counts.sum() + t / len(counts)

    def length(self, counts: np.ndarray) -> int:
        return int(counts.min()) * len(counts)


def test_a_users_own_policy_may_change_with_time_and_set_the_length() -> None:
    labels = labels_of([300, 100])
    plan = EpochSampler(labels, 2, Progressive(), seed=0, epochs=4)
    for epoch, share in enumerate([0.75, 0.6875, 0.625, 0.5625, 0.5]):
        counts = np.bincount(labels[plan.epoch(epoch)])
        assert counts.sum() == 200
        assert abs(counts[0] - 200 * share) < 1
    np.testing.assert_allclose(plan.prior(4), [0.5, 0.5])


class _Bad(Progressive):
    def prior(self, counts: np.ndarray, epoch: int, epochs: int) -> np.ndarray:
        return np.array([1.0, -1.0])


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"_Bad\.prior must return 2 finite shares"):
        EpochSampler(labels_of([3, 3]), 2, _Bad(), seed=0).epoch(0)
    with pytest.raises(UserError, match="no rows"):
        EpochSampler(np.zeros(0, int), 2, Instance(), seed=0)


def test_state_names_the_settings() -> None:
    plan = EpochSampler(labels_of([3, 3]), 2, Power(0.5), seed=4)
    assert plan.state() == {"sampling": "Power(length_of='samples', q=0.5)", "seed": 4, "length": 6}
    assert BucketedOrder(plan, np.ones(6), 2, 3, seed=4).state()["window"] == 3
    np.testing.assert_array_equal(Sequential(5).epoch(9), np.arange(5))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 400), batch=st.integers(1, 16), window=st.integers(1, 6), seed=st.integers(0, 99))
def test_buckets_keep_each_window_and_the_last_partial_batch(
    n: int, batch: int, window: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    order, lengths = rng.permutation(n), rng.integers(1, 50, n)
    got = bucket_rows(order, lengths, batch, window, seed, epoch=2)
    np.testing.assert_array_equal(got, bucket_rows(order, lengths, batch, window, seed, epoch=2))
    full, size = n // batch * batch, batch * window
    np.testing.assert_array_equal(got[full:], order[full:])
    for start in range(0, full, size):
        part = slice(start, min(start + size, full))
        assert sorted(got[part]) == sorted(order[part])
        batches = sorted(lengths[got[part]].reshape(-1, batch).tolist(), key=lambda b: (b[0], b[-1]))
        assert list(chain(*batches)) == sorted(lengths[order[part]])


def test_buckets_save_padding_and_shuffle_the_batches() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 100, 6400)
    order = BucketedOrder(EpochSampler(np.zeros(6400, int), 1, Instance(), seed=0), lengths, 32, 50, seed=0)
    assert len(order) == 6400
    longest = lengths[order.epoch(0)].reshape(-1, 32).max(axis=1)
    assert longest.sum() * 32 < 1.05 * lengths.sum()
    plain = (
        lengths[EpochSampler(np.zeros(6400, int), 1, Instance(), seed=0).epoch(0)].reshape(-1, 32).max(axis=1)
    )
    assert plain.sum() * 32 > 1.8 * lengths.sum()
    assert abs(np.corrcoef(np.arange(50), longest[:50])[0, 1]) < 0.5
    assert not np.array_equal(order.epoch(0), order.epoch(1))


@pytest.mark.parametrize("policy", [Instance(), Power(0.0)])
def test_ten_million_labels(policy: SamplingPolicy) -> None:
    """2 s where it was written; the limit leaves room for a slow machine, not for a Python loop."""
    profile = 1000.0 ** -np.linspace(0, 1, 1000)
    edges = np.rint(10_000_000 * np.cumsum(profile) / profile.sum()).astype(int)
    labels = np.repeat(np.arange(1000), np.diff(edges, prepend=0))
    start = time.process_time()
    plan = EpochSampler(labels, 1000, policy, seed=0)
    order = plan.epoch(0)
    assert time.process_time() - start < 12
    assert len(order) == 10_000_000
    counts = np.bincount(labels[order], minlength=1000)
    assert np.abs(counts - 1e7 * plan.prior(0)).max() < 1 + 1e-6
