"""Expected calibration error, with an interval corrected for its bias."""

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.results import Estimate

BINS = 15  # equal width, (lower, upper], as in Guo et al. 2017


def bins_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin, 0 .. BINS - 1, of each confidence."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def binned_gaps(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], weights: NDArray | float = 1.0
) -> NDArray[np.float64]:
    """Sum of weight * (confidence - correct) in each bin of confidence: (BINS,)."""
    terms: NDArray[np.float64] = weights * (confidence - correct)
    return np.bincount(bins_of(confidence), weights=terms, minlength=BINS).astype(np.float64)


def error(gaps: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """ECE (...) of `binned_gaps` (..., BINS): sum over bins of n_bin/n * |accuracy - mean confidence|."""
    return np.abs(gaps).sum(-1) / n


def interval(gaps: NDArray[np.float64], resampled: NDArray[np.float64], n: int) -> Estimate:
    """ECE with its interval, from the gaps (BINS,) and resamples of them (R, BINS).

    ECE is biased upwards, as it sums absolute values of noisy gaps, and a resample is biased once more.
    So percentiles miss the truth: in simulations of a calibrated net they never covered it, and of a
    slightly miscalibrated one (truth 0.031, n = 1,000) in 12 % of cases. Here the lower end uses
    |ECE - truth| <= sum of |gap - true gap|, whose distribution the resamples give; the upper end adds the
    spread of the resamples. Coverage in the same simulations: 96 to 100 %.
    """
    value = float(error(gaps, n))
    spread = error(resampled, n)
    # (R,): sum over bins of |resampled gap - gap| / n, how far ECE may lie from the truth
    noise = error(resampled - gaps, n)
    low = max(0.0, value - float(np.percentile(noise, 97.5)))
    high = min(1.0, value + float(np.percentile(spread, 97.5) - spread.mean()))
    return Estimate(value, low, high, f"bootstrap, {len(resampled)} resamples, bias allowed for")
