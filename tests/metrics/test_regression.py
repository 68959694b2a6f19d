"""Metrics of regression against scikit-learn and SciPy, at their edges, and their intervals by simulation."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from leyden.metrics import higher_is_better
from leyden.metrics.regression import evaluate_regression
from leyden.metrics.results import REGRESSION_METRICS, RegressionMetrics


def names(targets: int) -> list[str]:
    return [f"t{i}" for i in range(targets)]


def sample(n: int, targets: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets, the latter of different units and places."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, targets))
    predicted = truth + rng.normal(size=(n, targets))
    if ties:
        truth, predicted = truth.round(0), predicted.round(0)
    unit = 10.0 ** np.arange(targets)
    return predicted * unit + 5, truth * unit + 5


def by_reference(p: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    columns = range(y.shape[1])
    return {
        "mae": [sk.mean_absolute_error(y[:, k], p[:, k]) for k in columns],
        "rmse": [sk.root_mean_squared_error(y[:, k], p[:, k]) for k in columns],
        "r2": [sk.r2_score(y[:, k], p[:, k]) for k in columns],
        "spearman": [stats.spearmanr(y[:, k], p[:, k]).statistic for k in columns],
    }


@settings(max_examples=40, deadline=None)
@given(n=st.integers(3, 60), targets=st.integers(1, 4), seed=st.integers(0, 10**6), ties=st.booleans())
def test_points_agree_with_the_references(n: int, targets: int, seed: int, ties: bool) -> None:
    p, y = sample(n, targets, seed, ties=ties)
    p[:2], y[:2] = (
        [[-3.0] * targets, [9.0] * targets],
        [[7.0] * targets, [-8.0] * targets],
    )  # nothing is constant
    found = evaluate_regression(p, y, names(targets), intervals=False)
    assert tuple(found.values) == REGRESSION_METRICS
    for name, expected in by_reference(p, y).items():
        each = [getattr(target, name).value for target in found.per_target]
        assert each == pytest.approx(expected, rel=1e-9, abs=1e-9), name
        assert found.values[name].value == pytest.approx(np.mean(expected), rel=1e-9, abs=1e-9)


def test_intervals_hold_the_truth() -> None:
    """In 60 splits of 200 samples each 95 % interval holds the value of 300,000 in 51 or more (P = .999)."""
    truth = evaluate_regression(*sample(300_000, 1, 2), names(1), intervals=False).values
    inside = dict.fromkeys(REGRESSION_METRICS, 0)
    for seed in range(60):
        found = evaluate_regression(*sample(200, 1, 100 + seed), names(1)).values
        for name in inside:
            inside[name] += found[name].low <= truth[name].value <= found[name].high
    assert min(inside.values()) >= 51, inside


def test_a_constant_target_is_undefined_and_left_out_of_the_mean() -> None:
    p, y = sample(40, 2, 3)
    y[:, 1] = 0.1  # whose mean is not 0.1 in floating point
    found = evaluate_regression(p, y, names(2))
    constant = found.per_target[1]
    assert (constant.r2.value, constant.spearman.value) == (None, None)
    assert constant.rmse.value == pytest.approx(sk.root_mean_squared_error(y[:, 1], p[:, 1]))
    assert found.values["r2"].value == pytest.approx(sk.r2_score(y[:, 0], p[:, 0]))
    assert found.values["spearman"].value == pytest.approx(stats.spearmanr(p[:, 0], y[:, 0]).statistic)


def test_constant_predictions_have_no_rank_correlation() -> None:
    _, y = sample(40, 1, 4)
    found = evaluate_regression(np.full_like(y, y.mean()), y, names(1)).values
    assert found["spearman"].value is None
    assert found["r2"].value == pytest.approx(0.0, abs=1e-12)


def test_one_sample_and_perfect_predictions() -> None:
    one = evaluate_regression([[1.0]], [[3.0]], names(1)).values
    assert [one[name].value for name in REGRESSION_METRICS] == [2.0, 2.0, None, None]
    assert all(e.low is None for e in one.values())
    _, y = sample(30, 2, 5)
    perfect = evaluate_regression(y, y, names(2)).scalars()
    assert perfect == pytest.approx({"mae": 0.0, "rmse": 0.0, "r2": 1.0, "spearman": 1.0})


def test_a_far_offset_does_not_hide_the_spread() -> None:
    p, y = sample(100, 1, 6)
    found = evaluate_regression(p + 1e9, y + 1e9, names(1), intervals=False).values
    assert found["r2"].value == pytest.approx(sk.r2_score(y, p), rel=1e-5)


BAD = {
    "NaN prediction": ([[np.nan], [1.0]], [[0.0], [1.0]], "non-finite predictions in 1 of 2"),
    "NaN target": ([[1.0]], [[np.nan]], "non-finite targets in 1 of 1"),
    "shape": ([[1.0]], [[1.0, 2.0]], "expected predictions and targets"),
    "names": ([[1.0, 2.0]], [[1.0, 2.0]], r"\(N, 1\)"),
    "one axis": ([1.0], [1.0], "expected predictions and targets"),
    "empty": (np.zeros((0, 1)), np.zeros((0, 1)), "0 samples"),
}


@pytest.mark.parametrize(("p", "y", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_refused(p: object, y: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_regression(np.array(p), np.array(y), names(1))


def test_no_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="0 targets"):
        evaluate_regression(np.zeros((3, 0)), np.zeros((3, 0)), [])


def test_json_and_back() -> None:
    p, y = sample(40, 3, 7)
    y[:, 2] = 4.0
    found = evaluate_regression(p, y, names(3))
    stored = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert RegressionMetrics.from_dict(stored) == found
    assert found == evaluate_regression(p, y, names(3))


def test_the_direction_of_every_metric() -> None:
    assert {name for name in REGRESSION_METRICS if not higher_is_better(f"val/{name}")} == {"mae", "rmse"}
