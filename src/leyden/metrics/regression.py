"""Predictions and targets -> every number of a regression's evaluation, with its 95 % interval; NumPy only.

evaluate_regression(predictions, targets, target_names).values["r2"]    # Estimate(value, low, high, method)
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leyden.metrics.intervals import ANY, AT_MOST_ONE, CORRELATION, POSITIVE, by_influence, number, without
from leyden.metrics.results import REGRESSION_METRICS, Estimate, RegressionMetrics, TargetMetrics

Floats = NDArray[np.float64]

_BOUNDS = {"mae": POSITIVE, "r2": AT_MOST_ONE, "spearman": CORRELATION}
_TINY = 1e-300  # against 0 / 0 of perfect predictions


def evaluate_regression(
    predictions: ArrayLike,
    targets: ArrayLike,
    target_names: Sequence[str],
    *,
    intervals: bool = True,
) -> RegressionMetrics:
    """Every metric of one split. predictions and targets: (N, K), finite, each target in its own unit.

    mae: mean absolute error. rmse: root of the mean squared error. r2: 1 - squared error / squared deviation from the
    targets' mean, below 0 for predictions that are worse than this mean. spearman: correlation of the ranks (Spearman
    1904), ties having the mean of their ranks. With several targets a value is the mean over those it is defined for,
    which says little of mae and rmse where the units differ; `per_target` has each. What is undefined is None: r2 of a
    constant target, spearman where the target or the predictions are constant, and so both of one sample.

    Intervals are 95 %, over samples, by the methods of docs/result.md; none with `intervals=False` (each validation
    epoch).

    Raises ValueError for shapes that do not fit, no samples or targets, and values that are not finite: a metric must
    not hide those.
    """
    predicted, truth = _checked(predictions, targets, len(target_names))
    n, columns = truth.shape
    parts = [_Target(predicted[:, k], truth[:, k]) for k in range(columns)]
    found = {name: _estimates(parts, name, intervals) for name in REGRESSION_METRICS}
    per_target = [
        TargetMetrics(str(target), n, **{name: found[name][1 + k] for name in REGRESSION_METRICS})
        for k, target in enumerate(target_names)
    ]
    return RegressionMetrics(n, {name: found[name][0] for name in REGRESSION_METRICS}, per_target)


def _checked(predictions: ArrayLike, targets: ArrayLike, columns: int) -> tuple[Floats, Floats]:
    """Both float64 (N, K), or ValueError."""
    predicted, truth = (np.asarray(values, dtype=np.float64) for values in (predictions, targets))
    if truth.ndim != 2 or truth.shape[1] != columns or predicted.shape != truth.shape:
        raise ValueError(
            f"expected predictions and targets (N, {columns}) for {columns} target_names, "
            f"got {predicted.shape} and {truth.shape}"
        )
    if not truth.size:
        raise ValueError(f"nothing to evaluate: there are {truth.shape[0]} samples and {columns} targets")
    for name, values in (("predictions", predicted), ("targets", truth)):
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).any(axis=1).sum())
            raise ValueError(f"non-finite {name} in {bad} of {len(values)} samples")
    return predicted, truth


class _Ranks:
    """Mid-ranks of values (N,) as shares of N, less their mean: `ranks` (N,)."""

    def __init__(self, values: Floats) -> None:
        _, self._group, sizes = np.unique(values, return_inverse=True, return_counts=True)
        self.ranks = ((np.cumsum(sizes) - sizes / 2) / len(values) - 0.5)[self._group]

    def above(self, parts: Floats) -> Floats:
        """Of each sample (N,) the mean over all samples of their parts (N,) above it, a tie counting one half."""
        sums = np.bincount(self._group, parts)
        return ((sums.sum() - np.cumsum(sums) + sums / 2) / len(parts))[self._group]


class _Target:
    """One target: predictions and truth (N,)."""

    def __init__(self, predicted: Floats, truth: Floats) -> None:
        self._errors, self._deviations = predicted - truth, truth - truth.mean()
        self._several = bool(np.ptp(truth) > 0)  # exact, where the sum of squares is subject to rounding
        self._truth, self._predicted = _Ranks(truth), _Ranks(predicted)

    def measure(self, name: str) -> tuple[float, Floats]:
        """(value, influences (N,) of the samples), as `intervals.by_influence` takes them; NaN where undefined."""
        n, squares = len(self._errors), self._errors**2
        if name == "mae":
            value = float(np.abs(self._errors).mean())
            return value, (np.abs(self._errors) - value) / n
        mean = float(squares.mean())
        if name == "rmse":
            return math.sqrt(mean), (squares - mean) / (2 * n * max(math.sqrt(mean), _TINY))
        if name == "spearman":
            return self._spearman()
        if not self._several:
            return math.nan, np.zeros(n)
        spread = self._deviations**2
        ratio = mean / float(spread.mean())
        return 1 - ratio, -(squares - ratio * spread) / spread.sum()

    def _spearman(self) -> tuple[float, Floats]:
        """A sample counts by its own ranks, and by how it moves those of the samples above it."""
        x, y, n = self._truth.ranks, self._predicted.ranks, len(self._errors)
        both, of_x, of_y = float(x @ y) / n, float(x @ x) / n, float(y @ y) / n
        if not of_x * of_y > 0:
            return math.nan, np.zeros(n)
        value = both / math.sqrt(of_x * of_y)
        moved = x * y + self._truth.above(y) + self._predicted.above(x)
        moved_x, moved_y = (r.ranks**2 + 2 * r.above(r.ranks) for r in (self._truth, self._predicted))
        influence = moved / math.sqrt(of_x * of_y) - value / 2 * (moved_x / of_x + moved_y / of_y)
        return value, (influence - influence.mean()) / n

    def spearman_bias(self, value: float) -> float:
        """Of rank correlation, whose mean is (3 tau + (n - 2) rho) / (n + 1), with Kendall's tau (Hoeffding 1948)."""
        n = len(self._errors)
        if math.isnan(value) or n < 3:
            return 0.0
        # imported here: scipy.stats is half a second, which the start of a run does not need
        from scipy.stats import kendalltau

        return 3 * (float(kendalltau(self._truth.ranks, self._predicted.ranks).statistic) - value) / (n - 2)


def _estimates(parts: Sequence[_Target], name: str, intervals: bool) -> list[Estimate]:
    """Of the mean over the targets that are defined, and of each target: (1 + K)."""
    measured = [part.measure(name) for part in parts]
    defined = [k for k, (value, _) in enumerate(measured) if not math.isnan(value)]
    mean = math.nan, np.zeros(0)
    if defined:
        mean = (
            float(np.mean([measured[k][0] for k in defined])),
            np.mean([measured[k][1] for k in defined], axis=0),
        )
    pairs = [mean, *measured]
    if not intervals:
        return [Estimate(number(value)) for value, _ in pairs]
    if name == "rmse":
        return [_rmse(*pair) for pair in pairs]
    biases = [0.0] * len(parts)
    if name == "spearman":
        biases = [part.spearman_bias(value) for part, (value, _) in zip(parts, measured, strict=True)]
    biases = [sum(biases) / max(len(defined), 1), *biases]
    return [
        by_influence(*pair, _BOUNDS[name], bias=bias, skewed=name == "r2")
        for pair, bias in zip(pairs, biases, strict=True)
    ]


def _rmse(value: float, influence: Floats) -> Estimate:
    """The interval of 1 / rmse, whose estimate is less skewed where a few samples have the largest errors."""
    if math.isnan(value) or value == 0:
        return without(value, "all samples agree")
    found = by_influence(1 / value, -influence / value**2, ANY, skewed=True)
    if found.low is None or found.high is None or found.low <= 0:
        return without(value, "a few samples decide it")
    return Estimate(value, 1 / found.high, 1 / found.low, "jackknife, reciprocal scale")
