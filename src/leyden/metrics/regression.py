"""Predictions and targets -> every number of a regression's evaluation, with its 95 % interval; NumPy only.

evaluate_regression(predictions, targets, target_names).values["r2"]    # Estimate(value, low, high, method)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leyden.metrics import bootstrap
from leyden.metrics.confusion import divide
from leyden.metrics.intervals import number, percentiles, within
from leyden.metrics.results import REGRESSION_METRICS, Estimate, RegressionMetrics, TargetMetrics

Floats = NDArray[np.float64]

_RANGES = {"mae": (0.0, np.inf), "rmse": (0.0, np.inf), "r2": (-np.inf, 1.0), "spearman": (-1.0, 1.0)}


def evaluate_regression(
    predictions: ArrayLike,
    targets: ArrayLike,
    target_names: Sequence[str],
    *,
    intervals: bool = True,
    seed: int = 0,
) -> RegressionMetrics:
    """Every metric of one split. predictions and targets: (N, K), finite, each target in its own unit.

    mae: mean absolute error. rmse: root of the mean squared error. r2: 1 - squared error / squared deviation from the
    targets' mean, below 0 for predictions that are worse than this mean. spearman: correlation of the ranks (Spearman
    1904), ties having the mean of their ranks. With several targets a value is the mean over those it is defined for,
    which says little of mae and rmse where the units differ; `per_target` has each. What is undefined is None: r2 of a
    constant target, spearman where the target or the predictions are constant, and so both of one sample.

    Intervals are 95 %, of a seeded bootstrap over samples; none with `intervals=False` (each validation epoch).

    Raises ValueError for shapes that do not fit, no samples or targets, and values that are not finite: a metric must
    not hide those.
    """
    predicted, truth = _checked(predictions, targets, len(target_names))
    n, columns = truth.shape
    parts = [_Target.of(predicted[:, k], truth[:, k]) for k in range(columns)]
    points = _measure(parts, np.ones((1, n), dtype=np.uint8))
    rows = _rows(points)
    if intervals:
        times = bootstrap.resamples_for(n * columns)
        rng = np.random.default_rng(seed)
        drawn = [_measure(parts, weights) for weights in bootstrap.sample_weights(n, times, rng)]
        resampled = _rows({name: np.concatenate([block[name] for block in drawn]) for name in points})
    found = {}
    for name, row in rows.items():
        values = [float(v) for v in row[0]]
        pairs = zip(values, resampled[name].T, strict=True) if intervals else ()
        made = [percentiles(*pair) for pair in pairs] or [Estimate(number(v)) for v in values]
        found[name] = [within(estimate, *_RANGES[name]) for estimate in made]
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


@dataclass(frozen=True)
class _Ties:
    """The samples (N,) in groups of equal value. place: the group of each sample; groups rise with the value."""

    place: NDArray[np.int64]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]  # of the groups in `order`

    @classmethod
    def of(cls, values: Floats) -> "_Ties":
        _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
        return cls(place, np.argsort(place, kind="stable"), np.cumsum(sizes) - sizes)

    def sizes(self, weights: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How many samples (R, groups) each group has, where they count weights (R, N)."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1, dtype=np.int64)

    def ranks(self, sizes: NDArray[np.int64]) -> Floats:
        """Of each sample the mean rank (R, N) of its group, less the mean of all ranks."""
        middle = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
        return (middle - (sizes.sum(1, keepdims=True) + 1) / 2)[:, self.place]


@dataclass(frozen=True)
class _Target:
    """One target: errors (N,), deviations (N,) from its mean, and the groups of equal targets and predictions."""

    errors: Floats
    deviations: Floats
    truth: _Ties
    predicted: _Ties

    @classmethod
    def of(cls, predicted: Floats, truth: Floats) -> "_Target":
        return cls(predicted - truth, truth - truth.mean(), _Ties.of(truth), _Ties.of(predicted))

    def measure(self, weights: NDArray[np.uint8]) -> dict[str, Floats]:
        """By name (R,), where samples count weights (R, N); NaN where undefined."""
        n = weights.shape[1]  # also the sum of each row
        sizes = self.truth.sizes(weights)
        several = (
            np.count_nonzero(sizes, axis=1) > 1
        )  # exact, where the sum of squares is subject to rounding
        squared = weights @ self.errors**2
        spread = weights @ self.deviations**2 - (weights @ self.deviations) ** 2 / n
        x, y = self.truth.ranks(sizes), self.predicted.ranks(self.predicted.sizes(weights))
        both, of_truth, of_predicted = (np.vecdot(weights, product) for product in (x * y, x * x, y * y))
        return {
            "mae": weights @ np.abs(self.errors) / n,
            "rmse": np.sqrt(squared / n),
            "r2": 1 - divide(squared, np.where(several, spread, 0.0)),
            "spearman": divide(both, np.sqrt(of_truth * of_predicted)),
        }


def _measure(parts: Sequence[_Target], weights: NDArray[np.uint8]) -> dict[str, Floats]:
    """By name (R, K)."""
    each = [part.measure(weights) for part in parts]
    return {name: np.stack([values[name] for values in each], axis=-1) for name in REGRESSION_METRICS}


def _rows(by_target: dict[str, Floats]) -> dict[str, Floats]:
    """(R, 1 + K): the mean over the targets (R, K) that are defined, and each of them."""
    rows = {}
    for name, values in by_target.items():
        defined = ~np.isnan(values)
        mean = divide(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))
        rows[name] = np.column_stack([mean, values])
    return rows
