"""Repeat-factor sampling: the factors of the paper, and what an epoch's rows really hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.label_repeat import imposed_share, repeat_factors, repeated_rows


def label_sets(n: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, 5)) < [0.002, 0.02, 0.1, 0.3, 0.6]).astype(np.int8)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 50), labels=st.integers(1, 5), seed=st.integers(0, 10**6), threshold=st.floats(0.01, 1)
)
def test_factors_by_the_formula(n: int, labels: int, seed: int, threshold: float) -> None:
    targets = (np.random.default_rng(seed).random((n, labels)) < 0.2).astype(int)
    expected = []
    for row in targets:
        of_labels = [max(1.0, math.sqrt(threshold / targets[:, c].mean())) for c in range(labels) if row[c]]
        expected.append(max(of_labels, default=1.0))
    assert repeat_factors(targets, threshold) == pytest.approx(expected)


def test_an_epoch_is_a_pure_function_of_seed_and_epoch() -> None:
    factors = repeat_factors(label_sets(500, 0), 0.1)
    first = repeated_rows(factors, 1, 2)
    assert first.dtype == np.int64
    np.testing.assert_array_equal(first, repeated_rows(factors, 1, 2))
    for seed, epoch in ((1, 3), (2, 2)):
        assert not np.array_equal(first, repeated_rows(factors, seed, epoch))
    assert (np.diff(first) < 0).any()  # shuffled


def test_rows_are_there_as_often_as_their_factor_says() -> None:
    factors = np.array([1.0, 1.5, 3.0, 2.25, 0.0])
    times = np.array([np.bincount(repeated_rows(factors, 0, e), minlength=5) for e in range(2000)])
    assert (times >= np.floor(factors)).all()
    assert (times <= np.ceil(factors)).all()
    assert times.mean(0) == pytest.approx(factors, abs=4 * 0.5 / 2000**0.5)


def test_the_imposed_share_is_that_of_many_epochs() -> None:
    targets = label_sets(2000, 1)
    factors = repeat_factors(targets, 0.1)
    rows = np.concatenate([repeated_rows(factors, 0, e) for e in range(200)])
    found = imposed_share(targets, factors)
    assert targets[rows].mean(0) == pytest.approx(found, abs=2e-3)
    assert found[0] > 2 * targets.mean(0)[0]
    np.testing.assert_allclose(imposed_share(targets, np.ones(2000)), targets.mean(0))


def test_frequent_labels_and_none_are_left_alone() -> None:
    assert repeat_factors([[1, 0], [1, 0], [0, 0]], 0.5).tolist() == [1, 1, 1]
    assert repeat_factors(np.zeros((3, 0)), 0.5).tolist() == [1, 1, 1]
    assert repeat_factors(np.zeros((0, 2)), 0.5).tolist() == []
    assert repeated_rows([], 0, 0).tolist() == []


def test_what_is_refused() -> None:
    for targets in ([0, 1], [[2]], [[np.nan]]):
        with pytest.raises(ValueError, match="of 0 and 1"):
            repeat_factors(targets, 0.1)
    for threshold in (0.0, 1.5, np.nan):
        with pytest.raises(ValueError, match="threshold"):
            repeat_factors([[1]], threshold)
    for factors in ([[1.0]], [np.nan], [-1.0]):
        with pytest.raises(ValueError, match="factors"):
            repeated_rows(factors, 0, 0)
    for factors in ([1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="factors"):
            imposed_share([[1], [0]], factors)
