"""Expected calibration error over bins of equal width, with an interval that allows for its bias."""

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.intervals import without
from leyden.metrics.results import Estimate
from leyden.utils.text import plural

BINS = 15  # equal width, (lower, upper], as in Guo et al. 2017
_DRAWS, _CLEAR, _ERRORS = 2000, 3.0, 2.0  # errors: as many as Agresti and Coull 1998 add
_FEWEST = 20  # errors, for an interval


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
    wrong: int,
    samples: int,
    rng: np.random.Generator,
) -> Estimate:
    """ECE with its interval, from the gaps (BINS,), their `moments` and the decisions (BINS,) of each bin.

    ECE is biased upwards, as it sums absolute values of noisy gaps. Noise is drawn, normal with the gaps' covariance
    and that of two errors more. Where a gap's sign is clear (above three standard errors) the noise counts with its
    sign; elsewhere the lower end allows for |gap| <= |true gap| + |noise|, or, where the sum of these gaps has a clear
    sign, for |sum of gaps| <= sum of |gaps|, whichever is higher. Where no gap is clear the net may be calibrated, and
    the upper end, which then cannot miss, leaves its part of the 5 % to the lower one. Of few errors every interval
    would hold the truth in all cases, so there is none.

    Args:
        gaps: sums of confidence - correct.
        products: of the samples' gaps.
        sizes: decisions in each bin.
        wrong: samples of `samples` with an error.
        samples: independent ones.
        rng: of the noise.
    """
    n = int(sizes.sum())
    value, few = error(gaps, n), min(wrong, samples - wrong)
    if few < _FEWEST:
        return without(value, f"only {plural(few, 'error' if few == wrong else 'right answer')}")
    spread = products - np.outer(gaps, gaps) / samples + np.diag(_ERRORS * sizes / n)
    noise = rng.multivariate_normal(np.zeros(BINS), spread, _DRAWS, check_valid="ignore")
    clear = _is_clear(gaps, np.diag(spread))
    signed = noise * np.where(gaps < 0, -1.0, 1.0)
    share = 97.5 if clear.any() else 95.0
    low = value - float(np.percentile(np.where(clear, signed, np.abs(noise)).sum(1), share)) / n
    rest = gaps[~clear].sum()
    if _is_clear(rest, spread[~clear][:, ~clear].sum()):
        sums = signed[:, clear].sum(1) + np.sign(rest) * noise[:, ~clear].sum(1)
        least = np.abs(gaps[clear]).sum() + abs(rest) - float(np.percentile(sums, share))
        low = max(low, float(least) / n)
    high = value + float(np.percentile(signed.sum(1), 97.5)) / n
    return Estimate(value, max(0.0, low), min(1.0, high), "normal noise, bias allowed for")


def _is_clear(gaps: NDArray[np.float64], variances: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(gaps) > _CLEAR * np.sqrt(variances))
