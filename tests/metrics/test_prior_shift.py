"""Metrics restated for another prior are those of data that have it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from leyden.metrics.prior_shift import shift_prior


def confusion_of(y: np.ndarray, a: np.ndarray, classes: int) -> np.ndarray:
    return sk.confusion_matrix(y, a, labels=range(classes))


def answered(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return y, np.where(rng.random(n) < 0.7, y, rng.choice(3, n, p=[0.6, 0.3, 0.1]))


def by_sklearn(y: np.ndarray, a: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": sk.accuracy_score(y, a),
        "balanced_accuracy": sk.balanced_accuracy_score(y, a),
        "macro_f1": sk.f1_score(y, a, average="macro"),
        "mcc": sk.matthews_corrcoef(y, a),
        "macro_precision": sk.precision_score(y, a, average="macro"),
    }


def test_restated_is_what_resampled_data_give() -> None:
    rng = np.random.default_rng(0)
    y, a = answered(6000, 0)
    prior, n = np.array([0.05, 0.15, 0.8]), 400_000
    rows = np.concatenate([rng.choice(np.flatnonzero(y == c), int(n * prior[c])) for c in range(3)])
    found = shift_prior(confusion_of(y, a, 3), prior)
    tolerance = 4 / (2 * np.sqrt(n * prior.min()))  # four deviations of the rarest class's share
    for name, expected in by_sklearn(y[rows], a[rows]).items():
        assert found[name] == pytest.approx(expected, abs=tolerance), name  # type: ignore[literal-required]
    precision = sk.precision_score(y[rows], a[rows], average=None)
    assert found["precision"] == pytest.approx(precision.tolist(), abs=tolerance)


def test_every_row_repeated_is_exact() -> None:
    """Class c taken r_c times over: no chance is left."""
    y, a = answered(400, 1)
    times = np.array([1, 7, 3])
    rows = np.repeat(np.arange(len(y)), times[y])
    found = shift_prior(confusion_of(y, a, 3), np.bincount(y) * times)
    for name, expected in by_sklearn(y[rows], a[rows]).items():
        assert found[name] == pytest.approx(expected, abs=1e-12), name  # type: ignore[literal-required]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_its_own_prior_changes_nothing(seed: int) -> None:
    y, a = answered(60, seed)
    confusion = confusion_of(y, a, 3)
    found = shift_prior(confusion, confusion.sum(1))
    assert found["accuracy"] == pytest.approx(np.mean(y == a))
    if len(np.unique(y)) > 1:
        assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(y, a), abs=1e-9)


def test_what_is_undefined_is_none() -> None:
    found = shift_prior([[3, 0], [7, 0]], [0.9, 0.1])  # class 1 is never answered
    assert found["precision"] == [pytest.approx(0.9), None]
    assert found["mcc"] == 0
    alone = shift_prior([[3, 1], [0, 0]], [0.5, 0.5])  # class 1 was never tested
    assert alone["accuracy"] == pytest.approx(0.75)
    assert alone["mcc"] is None


@pytest.mark.parametrize(
    ("confusion", "prior", "message"),
    [
        ([[1, 0], [0, 1]], [1.0], "expected confusion"),
        ([[1, 0, 0], [0, 1, 0]], [0.5, 0.5], "expected confusion"),
        ([[1, 0], [0, 1]], [-0.5, 1.5], "shares of 0 or more"),
        ([[1, 0], [0, 0]], [0.0, 1.0], "no class that was tested"),
    ],
)
def test_what_does_not_fit_is_refused(confusion: list, prior: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shift_prior(confusion, prior)
