"""Split conformal intervals: the rank, the coverage that theory promises, and the band that one test must lie in."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from leyden.decision.conformal import calibration_rank, conformal_radius, coverage, coverage_band


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), seed=st.integers(0, 10**6), percent=st.integers(1, 99))
def test_the_radius_is_the_residual_of_its_rank(n: int, seed: int, percent: int) -> None:
    residuals = np.abs(np.random.default_rng(seed).normal(size=(n, 2)))
    found = conformal_radius(residuals, percent / 100)
    rank = -(-(n + 1) * (100 - percent) // 100)  # in whole numbers
    expected = np.sort(residuals, axis=0)[rank - 1] if rank <= n else np.full(2, np.inf)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("n", "alpha", "rank"), [(9, 0.1, 9), (8, 0.1, 9), (99, 0.05, 95), (1000, 0.1, 901)])
def test_rank(n: int, alpha: float, rank: int) -> None:
    assert calibration_rank(n, alpha) == rank


def test_too_few_residuals_give_no_finite_interval() -> None:
    assert conformal_radius(np.ones((8, 1)), 0.1).tolist() == [math.inf]
    assert conformal_radius(np.ones((9, 1)), 0.1).tolist() == [1.0]
    assert coverage_band(8, 100, 0.1) == (1.0, 1.0)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2, 0.35, 0.5])
def test_mean_coverage_and_its_spread_are_those_of_theory(alpha: float) -> None:
    """300 splits of heavy-tailed residuals; the mean within 4 standard errors of (and half a point above) 1 - alpha."""
    rng = np.random.default_rng(0)
    n, tested, splits = 500, 2000, 300
    found = []
    for _ in range(splits):
        residuals = np.abs(rng.standard_t(3, size=(n + tested, 1)))
        found.append(coverage(residuals[n:], conformal_radius(residuals[:n], alpha))[0])
    rank = calibration_rank(n, alpha)
    theory = stats.betabinom(tested, rank, n + 1 - rank)
    deviation = theory.std() / tested
    assert np.mean(found) == pytest.approx(theory.mean() / tested, abs=4 * deviation / math.sqrt(splits))
    assert abs(np.mean(found) - (1 - alpha)) < 0.005
    assert np.std(found) == pytest.approx(deviation, rel=0.2)


def test_the_band_for_a_thousand_and_two_thousand_rows() -> None:
    assert coverage_band(1000, 2000, 0.1) == pytest.approx((0.869, 0.928), abs=5e-4)


def test_the_band_holds_what_it_says() -> None:
    rng = np.random.default_rng(1)
    low, high = coverage_band(100, 200, 0.1, level=0.9)
    inside = 0
    for _ in range(2000):
        residuals = rng.exponential(size=(300, 1))
        found = coverage(residuals[100:], conformal_radius(residuals[:100], 0.1))[0]
        inside += low <= found <= high
    # a discrete distribution holds a little more than 90 %: its exact share, within 4 standard errors
    band = stats.betabinom(200, 91, 10)
    exact = band.cdf(round(high * 200)) - band.cdf(round(low * 200) - 1)
    assert exact >= 0.9
    assert inside / 2000 == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2000))


@pytest.mark.extras
def test_agrees_with_mapie() -> None:
    mapie = pytest.importorskip("mapie.regression")
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(400, 1)), rng.normal(size=400)

    class Zero:
        """A fitted scikit-learn regressor that says 0."""

        n_features_in_, is_fitted_ = 1, True

        def fit(self, x: np.ndarray, y: np.ndarray) -> "Zero":
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.zeros(len(x))

        def __sklearn_is_fitted__(self) -> bool:
            return True

    split = mapie.SplitConformalRegressor(Zero(), confidence_level=0.9, prefit=True).conformalize(x, y)
    interval = split.predict_interval(x[:1])[1]
    assert interval[0, 1, 0] == pytest.approx(conformal_radius(np.abs(y)[:, None], 0.1)[0])


BAD = {
    "NaN": ([[np.nan]], 0.1, "finite"),
    "negative": ([[-1.0]], 0.1, "not negative"),
    "one axis": ([1.0], 0.1, r"\(n, K\)"),
    "empty": (np.zeros((0, 1)), 0.1, "empty"),
    "alpha": ([[1.0]], 1.0, "alpha"),
}


@pytest.mark.parametrize(("residuals", "alpha", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_refused(residuals: object, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conformal_radius(np.array(residuals), alpha)


def test_coverage_and_band_refuse_nonsense() -> None:
    for residuals, radius in ((np.zeros((0, 1)), [1.0]), ([[1.0]], [1.0, 2.0])):
        with pytest.raises(ValueError, match="expected residuals"):
            coverage(residuals, radius)
    with pytest.raises(ValueError, match="finite"):
        coverage([[np.nan]], [1.0])
    for arguments in ((10, 0, 0.1, 0.9), (10, 10, 0.1, 1.0)):
        with pytest.raises(ValueError, match="n_test"):
            coverage_band(*arguments)


def test_an_end_of_the_interval_belongs_to_it() -> None:
    assert coverage([[1.0], [2.0], [3.0]], [2.0]) == pytest.approx([2 / 3])
