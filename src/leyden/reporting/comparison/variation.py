"""How much contrasts of runs vary by luck, where settings may vary unequally, and the degrees of freedom of that.

The test of k contrasts is the analysis of variance's, whose F has k and k (blocks - 1) degrees of freedom if all
settings vary alike. Where they do not it errs too often (in .12 of .05 for four values of which one has five times the
spread), and both are multiplied by Box's epsilon (1954), estimated from the contrasts' covariances as by Greenhouse and
Geisser (1959). From few blocks the estimate is low, so that the test errs less than it may; Huynh and Feldt's (1976) is
not, and errs in up to .09. Hotelling's T needs more blocks than contrasts, and finds less up to ten. At the small
levels of Holm's first steps the test still errs in up to .061 of .05, so that the degrees of freedom of n blocks are
moved by 1/n towards their least. Without blocks each setting has its own variance, as in Welch's t test: the test is
that of Brown and Forsythe (1974), for several keys of Brunner, Dette and Munk (1997).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leyden.reporting.comparison.least_squares import Fit, Floats, Runs, sums


class Variation(NamedTuple):
    """The expected sum of squares of contrasts without an effect, and the degrees of freedom of an F test of them."""

    total: float
    top: float
    bottom: float


def variation(contrasts: Floats, factors: Sequence[int], noise: Fit, runs: Runs) -> Variation:
    """Of contrasts (runs, k) of factors, each of length 1, within blocks, or between the runs of the only one."""
    if runs.blocks.any():
        return _between_blocks(contrasts, noise, runs)
    return _between_runs(contrasts, factors, noise, runs)


def _between_blocks(contrasts: Floats, noise: Fit, runs: Runs) -> Variation:
    """From the contrasts of each block that has any."""
    of_blocks = sums(contrasts * noise.residuals[:, None], runs.blocks)
    n = int(np.count_nonzero(sums(contrasts**2, runs.blocks).sum(1) > 1e-12))
    covariance = of_blocks.T @ of_blocks * n / max(n - 1, 1)
    total, top = _box(covariance)
    top -= (top - 1) / max(n, 1)
    return Variation(total, top, top * (n - 1))


def _between_runs(contrasts: Floats, factors: Sequence[int], noise: Fit, runs: Runs) -> Variation:
    """From the variance of each setting (of few runs: each level), with Satterthwaite's degrees of freedom (1946)."""
    settings = runs.cells().blocks
    if noise.freedom <= settings.max():
        settings = runs.cells(factors).blocks
    freedom = np.bincount(settings, 1 - noise.leverage)
    squares = np.bincount(settings, noise.residuals**2)
    # of a setting that the model fits exactly nothing is known but the mean variance of all
    variances = np.where(freedom > 1e-9, squares / np.maximum(freedom, 1e-9), noise.squares / noise.freedom)
    covariance = contrasts.T @ (contrasts * variances[settings][:, None])
    total, top = _box(covariance)
    parts = np.bincount(settings, (contrasts**2).sum(1)) * variances
    spread = float((parts**2 / np.maximum(freedom, 1e-9)).sum())
    return Variation(total, top, min(total**2 / max(spread, 1e-300), noise.freedom))


def _box(covariance: Floats) -> tuple[float, float]:
    """Return the trace, and Box's degrees of freedom: 1 to the rank."""
    total, squares = float(np.trace(covariance)), float((covariance**2).sum())
    return total, total**2 / squares if squares else 0.0
