"""Split conformal prediction for regression: intervals that contain the target with probability 1 - alpha.

    radius = conformal_radius(abs(predictions - targets), alpha=0.1)   # of calibration rows: (K,)
    intervals = predictions - radius, predictions + radius             # of any exchangeable rows

The radius is the k-th smallest of n absolute residuals, k = ceil((n + 1)(1 - alpha)) (Papadopoulos et al. 2002; Lei et
al. 2018, arXiv 1604.04173, algorithm 2). Over calibration sets the coverage is at least 1 - alpha, whatever the net, if
calibration rows and later ones are exchangeable: rows of one group (speaker, patient) on both sides are not. Of one
calibration set it is random: Beta(k, n + 1 - k) distributed (Vovk 2012, arXiv 1209.2673), which `coverage_band` allows
for. NumPy, and SciPy's beta-binomial.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # (n + 1)(1 - alpha) this close above a whole number is meant to be whole


def calibration_rank(n: int, alpha: float) -> int:
    """k = ceil((n + 1)(1 - alpha)): which of n sorted residuals is the radius; n + 1 where n are too few.

    Raises ValueError for alpha outside 0 < alpha < 1 and n < 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: expected a share of misses between 0 and 1, such as 0.1, got {alpha}")
    if n < 1:
        raise ValueError("no residuals to calibrate on: the calibration split is empty")
    return int(np.ceil((n + 1) * (1 - alpha) - _ROUNDING))


def conformal_radius(residuals: ArrayLike, alpha: float) -> Floats:
    """Half the width (K,) of each target's interval.

    With fewer than 1 / alpha - 1 residuals (9 for alpha = .1, 99 for .01) no finite interval has the promised coverage:
    the radius is then inf. A target's promise is its own; that all K hold at once is promised with alpha / K
    (Bonferroni).

    Args:
        residuals: absolute, (n, K), of rows that neither trained the net nor chose its epoch.
        alpha: share of misses that is allowed.

    Raises:
        ValueError: residuals that are negative or not finite, no rows, an alpha that is no share.
    """
    found = np.asarray(residuals, dtype=np.float64)
    if found.ndim != 2:
        raise ValueError(f"expected residuals (n, K), got {found.shape}")
    rank = calibration_rank(len(found), alpha)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError("residuals must be finite and not negative: give |prediction - target|")
    if rank > len(found):
        return np.full(found.shape[1], np.inf)
    return np.partition(found, rank - 1, axis=0)[rank - 1]


def coverage(residuals: ArrayLike, radius: ArrayLike) -> Floats:
    """Share (K,) of rows whose target lies in the interval, ends included: residuals absolute (n, K), radius (K,).

    Raises ValueError for shapes that do not fit, no rows, and residuals that are not finite.
    """
    found, half = np.asarray(residuals, dtype=np.float64), np.asarray(radius, dtype=np.float64)
    if found.ndim != 2 or not len(found) or half.shape != found.shape[1:]:
        raise ValueError(
            f"expected residuals (n, K), n > 0, and radius (K,), got {found.shape} and {half.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError("residuals must be finite: give |prediction - target|")
    share: Floats = (found <= half).mean(0)
    return share


def coverage_band(n_calibration: int, n_test: int, alpha: float, level: float = 0.99) -> tuple[float, float]:
    """Between which values the coverage on n_test rows lies with probability `level`, if all rows are exchangeable.

    The number of rows that are covered is BetaBinomial(n_test, k, n_calibration + 1 - k), k the rank of the radius; for
    residuals without ties, with ties it is higher. A coverage outside the band says that calibration and test rows
    are not exchangeable, or that the calibration rows were seen in training. (1, 1) where the radius is inf.

    Raises ValueError for numbers that are none of this.
    """
    from scipy.stats import betabinom

    if n_test < 1 or not 0 < level < 1:
        raise ValueError(f"expected n_test > 0 and level between 0 and 1, got {n_test} and {level}")
    rank = calibration_rank(n_calibration, alpha)
    if rank > n_calibration:
        return 1.0, 1.0
    covered = betabinom(n_test, rank, n_calibration + 1 - rank)
    tail = (1 - level) / 2
    return float(covered.ppf(tail)) / n_test, float(covered.ppf(1 - tail)) / n_test
