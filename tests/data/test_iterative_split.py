"""Iterative stratification of label sets against random folds, and strata of real-valued targets."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.iterative_split import iterative_folds, quantile_strata


def label_sets(n: int, labels: int, seed: int) -> np.ndarray:
    """Labels from rare to frequent that come together more often than by chance."""
    rng = np.random.default_rng(seed)
    inclined = rng.exponential(size=(n, 1))
    return (rng.random((n, labels)) < np.geomspace(0.01, 0.4, labels) * inclined).astype(np.int8)


def deviation(targets: np.ndarray, fold: np.ndarray, shares: list[float]) -> float:
    """Mean over labels and folds of the difference between a fold's share of a label's positives and its own."""
    counts = np.array([targets[fold == j].sum(0) for j in range(len(shares))])
    return float(np.abs(counts / np.maximum(targets.sum(0), 1) - np.array(shares)[:, None]).mean())


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 60),
    labels=st.integers(0, 6),
    shares=st.lists(st.floats(0.05, 1), min_size=1, max_size=5),
    seed=st.integers(0, 10**6),
)
def test_every_row_has_a_fold_and_folds_their_size(
    n: int, labels: int, shares: list[float], seed: int
) -> None:
    targets = (np.random.default_rng(seed).random((n, labels)) < 0.3).astype(np.int8)
    fold = iterative_folds(targets, shares, seed)
    assert fold.shape == (n,)
    sizes = np.bincount(fold, minlength=len(shares))
    assert len(sizes) == len(shares)
    assert sizes.sum() == n
    assert np.abs(sizes - n * np.array(shares) / sum(shares)).max(initial=0) < 1 + 1e-6
    np.testing.assert_array_equal(fold, iterative_folds(targets, shares, seed))


@pytest.mark.parametrize("shares", [[0.7, 0.1, 0.2], [0.2] * 5])
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_shared_out_far_better_than_at_random(shares: list[float], seed: int) -> None:
    targets = label_sets(2000, 12, seed)
    fold = iterative_folds(targets, shares, seed)
    random = [deviation(targets, np.random.default_rng(s).permutation(fold), shares) for s in range(20)]
    assert deviation(targets, fold, shares) < min(random) / 3


def test_a_rare_label_is_in_every_fold() -> None:
    targets = label_sets(1000, 8, 0)
    targets[:, 0] = 0
    targets[:5, 0] = 1
    fold = iterative_folds(targets, [1.0] * 5)
    assert sorted(fold[:5].tolist()) == [0, 1, 2, 3, 4]
    random = [len(set(np.random.default_rng(s).integers(0, 5, 5).tolist())) for s in range(20)]
    assert np.mean(random) < 4


def test_the_only_positive_goes_to_the_largest_fold() -> None:
    targets = np.zeros((100, 2), dtype=np.int8)
    targets[17, 1] = 1
    assert iterative_folds(targets, [0.1, 0.7, 0.2])[17] == 1


def test_exact_where_it_can_be() -> None:
    """Each of two labels 50 times among 100 rows: each of five folds has 20 rows and each label 10 times."""
    targets = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 25, axis=0)
    fold = iterative_folds(targets, [0.2] * 5, seed=3)
    for j in range(5):
        assert (fold == j).sum() == 20
        assert targets[fold == j].sum(0).tolist() == [10, 10]


def test_another_seed_gives_other_folds_alike_in_quality() -> None:
    targets = label_sets(500, 6, 1)
    first, second = (iterative_folds(targets, [0.8, 0.2], seed) for seed in (0, 1))
    assert 0.05 < (first != second).mean() < 0.6


def test_rows_without_labels_are_shuffled() -> None:
    fold = iterative_folds(np.zeros((1000, 3)), [0.5, 0.5], seed=1)
    assert 200 < fold[:500].sum() < 300


def test_fast_on_many_rows() -> None:
    targets = label_sets(100_000, 20, 2)
    started = time.process_time()
    iterative_folds(targets, [0.7, 0.1, 0.2])
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("targets", "shares", "message"),
    [
        ([[0, 2]], [1.0], "of 0 and 1"),
        ([[np.nan, 0]], [1.0], "of 0 and 1"),
        ([0, 1], [1.0], r"\(N, L\)"),
        ([[0, 1]], [], "shares above 0"),
        ([[0, 1]], [0.5, 0.0], "shares above 0"),
        ([[0, 1]], [0.5, np.nan], "shares above 0"),
    ],
)
def test_what_folds_refuse(targets: list, shares: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iterative_folds(np.array(targets), shares)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 200), columns=st.integers(1, 3), bins=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_strata_are_as_large_as_each_other(n: int, columns: int, bins: int, seed: int) -> None:
    strata = quantile_strata(np.random.default_rng(seed).normal(size=(n, columns)), bins)
    sizes = np.bincount(strata)
    assert len(sizes) == min(bins, max(1, n // 5))
    assert sizes.max() - sizes.min() <= 1
    if n >= 5:
        assert sizes.min() >= 5


def test_strata_of_one_target_follow_its_value() -> None:
    values = np.random.default_rng(0).exponential(size=(300, 1))
    strata = quantile_strata(values)
    assert strata.max() == 9
    assert (np.diff(strata[np.argsort(values[:, 0])]) >= 0).all()


def test_strata_of_several_follow_what_they_share_whatever_the_unit() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(size=400)
    values = np.stack([shared, 1e6 * shared, np.full(400, 0.1), rng.normal(size=400)], axis=1)
    strata = quantile_strata(values)
    assert abs(np.corrcoef(strata, shared)[0, 1]) > 0.9
    np.testing.assert_array_equal(strata, quantile_strata(values * [3, 0.1, 1, 1]))


def test_equal_values_share_a_stratum_and_constant_ones_the_only_one() -> None:
    values = np.repeat([0.0, 1.0, 2.0], [80, 15, 5])[:, None]
    strata = quantile_strata(values)
    assert all(len(set(strata[values[:, 0] == v].tolist())) == 1 for v in (0.0, 1.0, 2.0))
    assert set(strata.tolist()) == set(range(strata.max() + 1))
    assert quantile_strata(np.full((30, 1), 0.1)).tolist() == [0] * 30
    assert quantile_strata(np.full((30, 2), 0.1)).tolist() == [0] * 30
    assert quantile_strata(np.zeros((0, 1))).tolist() == []


@pytest.mark.parametrize("values", [[[np.nan]], [1.0], np.zeros((3, 0))])
def test_what_strata_refuse(values: object) -> None:
    with pytest.raises(ValueError, match="expected values"):
        quantile_strata(np.array(values))


def test_no_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="bins"):
        quantile_strata(np.zeros((3, 1)), 0)
