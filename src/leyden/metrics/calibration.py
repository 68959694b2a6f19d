"""Expected calibration error over bins of equal width, with an interval that allows for its bias."""

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.results import Estimate

BINS = 15  # equal width, (lower, upper], as in Guo et al. 2017
_DRAWS, _CLEAR, _ERRORS = 2000, 3.0, 2.0  # errors: as many as Agresti and Coull 1998 add


def bins_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin, 0 .. BINS - 1, of each confidence."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def binned_gaps(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sum of confidence - correct in each bin of confidence: (BINS,)."""
    return np.bincount(bins_of(confidence), confidence - correct, BINS).astype(np.float64)


def error(gaps: NDArray[np.float64], n: int) -> float:
    """ECE of `binned_gaps` (BINS,): sum over bins of n_bin/n * |accuracy - mean confidence|."""
    return float(np.abs(gaps).sum() / n)


def moments(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sum over samples of the products (BINS, BINS) of their gaps in each bin, where each sample is in one."""
    return np.diag(np.bincount(bins_of(confidence), (confidence - correct) ** 2, BINS))


def interval(
    gaps: NDArray[np.float64],
    products: NDArray[np.float64],
    sizes: NDArray[np.int64],
    samples: int,
    rng: np.random.Generator,
) -> Estimate:
    """ECE with its interval, from the gaps (BINS,), their `moments` and the decisions (BINS,) of each bin.

    ECE is biased upwards, as it sums absolute values of noisy gaps. Noise is drawn, normal with the gaps' covariance
    and that of two errors more, so that none among few samples does not mean that there are none. Where a gap's sign
    is clear (above three standard errors) the noise counts with its sign; elsewhere the lower end allows for
    |gap| <= |true gap| + |noise|. Where no gap is clear the net may be calibrated, and the upper end, which then cannot
    miss, leaves its part of the 5 % to the lower one. So of a calibrated net it holds 0 in 95 % of cases or more.
    """
    n = int(sizes.sum())
    value = error(gaps, n)
    spread = products - np.outer(gaps, gaps) / samples + np.diag(_ERRORS * sizes / n)
    noise = rng.multivariate_normal(np.zeros(BINS), spread, _DRAWS, check_valid="ignore")
    clear = np.abs(gaps) > _CLEAR * np.sqrt(np.diag(spread))
    signed = noise * np.where(gaps < 0, -1.0, 1.0)
    above = np.where(clear, signed, np.abs(noise)).sum(1)
    low = value - float(np.percentile(above, 97.5 if clear.any() else 95.0)) / n
    high = value + float(np.percentile(signed.sum(1), 97.5)) / n
    return Estimate(value, max(0.0, low), min(1.0, high), "normal noise, bias allowed for")
