"""95 % intervals: Wilson's for a proportion, percentiles of a bootstrap for the rest.

Every interval here takes the samples of the split as independent. Where they are not (several clips of one
speaker) the truth is wider, and an interval never covers the luck of the training seed.
"""

import math

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.results import Estimate

Z = 1.959963984540054  # the 97.5 % point of the standard normal
_TAILS = (2.5, 97.5)
_MIN_FOR_PERCENTILES = 100  # below it a 2.5 % point rests on two resamples: the standard error is used


def number(value: float) -> float | None:
    """None for NaN: what is undefined."""
    return None if math.isnan(value) else float(value)


def wilson(hits: int, n: int) -> Estimate:
    """hits / n with Wilson's score interval (Wilson 1927): right also for few samples and near 0 and 1."""
    if n == 0:
        return Estimate(None)
    share, spread = hits / n, Z**2 / n
    # (p + z^2 / 2n -+ z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n); spread is z^2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # at 0 and n hits an end equals the share exactly, which rounding would miss
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return Estimate(share, low, high, "Wilson")


def percentiles(value: float, resampled: NDArray[np.float64]) -> Estimate:
    """The bootstrap's 95 % interval (Efron 1979) from resampled values (R,); undefined ones are left out.

    Where every resample gives the same value (a perfect score) the bootstrap knows nothing of the
    uncertainty: there is then no interval, rather than one of width 0.
    """
    if math.isnan(value):
        return Estimate(None)
    defined = resampled[~np.isnan(resampled)]
    count = len(defined)
    if count < 2 or np.ptp(defined) < 1e-12:
        return Estimate(float(value), method="none: all resamples agree")
    if count < _MIN_FOR_PERCENTILES:
        half = Z * float(np.std(defined, ddof=1))
        return Estimate(float(value), value - half, value + half, f"bootstrap SE, {count} resamples")
    low, high = np.percentile(defined, _TAILS)
    return Estimate(float(value), float(low), float(high), f"bootstrap, {count} resamples")


def within(estimate: Estimate, low: float, high: float) -> Estimate:
    """The same estimate with its interval cut to the values that the metric can take."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(estimate.value, max(low, estimate.low), min(high, estimate.high), estimate.method)
