"""Least squares within blocks of runs: what the runs of a block have in common is subtracted."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_ROUNDING = 1e-9  # a spread below this share of the values is rounding error of sums of squares


class Runs(NamedTuple):
    """Runs, and the blocks within which they are compared; one block of all if no two share a replicate."""

    y: Floats  # (runs,)
    codes: Codes  # (runs, factors): level of each factor
    blocks: Codes  # (runs,)
    inflation: float  # of the variance of a mean, by overlapping training data

    def together(self) -> "Runs":
        """All in one block."""
        return self._replace(blocks=np.zeros_like(self.blocks))

    def split(self, factors: Sequence[int]) -> "Runs":
        """A block for each combination of their levels within each block."""
        blocks = self.blocks
        for codes in self.codes[:, factors].T:
            blocks = np.unique(blocks * (codes.max() + 1) + codes, return_inverse=True)[1]
        return self._replace(blocks=blocks)


class Fit(NamedTuple):
    """What a fit leaves."""

    squares: float  # residual sum of squares
    freedom: float  # residual degrees of freedom
    rank: int  # of the columns within blocks


def within(columns: Floats, groups: Codes) -> Floats:
    """Subtract from columns (runs, k) their means over the runs of each group; groups are 0, 1, ..., none empty."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    means = np.add.reduceat(columns[order], starts, axis=0) / np.bincount(groups)[:, None]
    return columns - means[groups]


def fit(runs: Runs, columns: Iterable[Floats]) -> Fit:
    """Least squares within blocks by the normal equations; collinear columns count once.

    Subtracting each block's means fits a constant for each block (Frisch and Waugh 1933). With dummies of -1, 0 and 1
    the equations are well conditioned, and for thousands of runs far cheaper than an SVD.
    """
    n, blocks = len(runs.y), int(runs.blocks.max()) + 1
    design = within(np.hstack([np.empty((n, 0)), *columns]), runs.blocks)
    target = within(runs.y[:, None], runs.blocks)[:, 0]
    sizes, axes = np.linalg.eigh(design.T @ design)
    kept = sizes > 1e-10 * n
    axes = axes[:, kept]
    coefficients = axes @ ((axes.T @ (design.T @ target)) / sizes[kept])
    rank = int(kept.sum())
    return Fit(float(((target - design @ coefficients) ** 2).sum()), float(n - blocks - rank), rank)


def is_rounding(fitted: Fit, runs: Runs) -> bool:
    """Whether what a fit leaves is no more than the error of computing it."""
    return fitted.squares <= len(runs.y) * (_ROUNDING * float(np.abs(runs.y).max())) ** 2
