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

    def cells(self, factors: Sequence[int] = ()) -> "Runs":
        """A block for each combination of levels, of all factors or of these, within each block."""
        blocks = self.blocks
        for codes in (self.codes[:, factors] if factors else self.codes).T:
            blocks = np.unique(blocks * (codes.max() + 1) + codes, return_inverse=True)[1]
        return self._replace(blocks=blocks)


class Fit(NamedTuple):
    """What a fit leaves."""

    residuals: Floats  # (runs,)
    leverage: Floats  # (runs,): of each run on its own fitted value
    basis: Floats  # (runs, rank): orthonormal, of the columns within blocks

    @property
    def squares(self) -> float:
        """Residual sum of squares."""
        return float(self.residuals @ self.residuals)

    @property
    def freedom(self) -> float:
        """Residual degrees of freedom."""
        return round(float((1 - self.leverage).sum()))

    @property
    def rank(self) -> int:
        """Of the columns within blocks."""
        return self.basis.shape[1]


def within(columns: Floats, groups: Codes) -> Floats:
    """Subtract from columns (runs, k) their means over the runs of each group; groups are 0, 1, ..., none empty."""
    return columns - (sums(columns, groups) / np.bincount(groups)[:, None])[groups]


def sums(columns: Floats, groups: Codes) -> Floats:
    """Sum columns (runs, k) over the runs of each group: (groups, k)."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    found: Floats = np.add.reduceat(columns[order], starts, axis=0)
    return found


def fit(runs: Runs, columns: Iterable[Floats]) -> Fit:
    """Least squares within blocks by the normal equations; collinear columns count once.

    Subtracting each block's means fits a constant for each block (Frisch and Waugh 1933). With dummies of -1, 0 and 1
    the equations are well conditioned, and for thousands of runs far cheaper than an SVD.
    """
    design = np.hstack([np.empty((len(runs.y), 0)), *columns])
    basis = _basis(within(design, runs.blocks))
    leverage = 1 / np.bincount(runs.blocks)[runs.blocks] + (basis**2).sum(1)
    target = within(runs.y[:, None], runs.blocks)
    return Fit(_beyond(target, basis)[:, 0], leverage, basis)


def directions(runs: Runs, columns: Floats, others: Fit) -> Floats:
    """Orthonormal contrasts (runs, k) of columns (runs, at least k) beyond the columns of another fit."""
    return _basis(_beyond(within(columns, runs.blocks), others.basis))


def _beyond(columns: Floats, basis: Floats) -> Floats:
    return columns - basis @ (basis.T @ columns)


def _basis(columns: Floats) -> Floats:
    sizes, axes = np.linalg.eigh(columns.T @ columns)
    kept = sizes > 1e-10 * len(columns)
    found: Floats = columns @ axes[:, kept] / np.sqrt(sizes[kept])
    return found


def is_rounding(squares: float, runs: Runs) -> bool:
    """Whether a sum of squares is no more than the error of computing it."""
    return squares <= len(runs.y) * (_ROUNDING * float(np.abs(runs.y).max())) ** 2
