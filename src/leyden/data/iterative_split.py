"""Strata for what has no classes: folds of label sets, and strata of real-valued targets. NumPy only.

A stratified split by class makes no sense where a row has any number of labels (label sets are mostly unique) or a
number as its target.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROWS = 5  # of a stratum at least, so that a share of each can be taken


def iterative_folds(targets: ArrayLike, shares: Sequence[float], seed: int = 0) -> NDArray[np.int64]:
    """The fold (N,) of each row, in which each label has its share of positives as nearly as the label sets allow.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011, On the Stratification of Multi-Label Data, algorithm
    1): the label with the fewest rows left is dealt first, each of its rows to the fold that misses the label most, of
    several the one with the most room, of several of those one at random; rows without labels fill up. Beyond the
    paper, a full fold takes no more rows: fold j has N * shares_j rows, rounded (largest remainder) to a sum of N.

    Args:
        targets: (N, L), 1 where a row has the label, else 0.
        shares: of the folds, each above 0; scaled to a sum of 1.
        seed: of the rows' order and of ties; the same seed gives the same folds.

    Raises:
        ValueError: targets that are not (N, L) of 0 and 1, no shares, or shares that are not positive.
    """
    has, parts = _checked(targets, shares)
    noise = np.random.default_rng(seed).random((2, len(has)))  # order and ties of the rows
    room = _sizes(len(has), parts)
    wanted = np.outer(has.sum(0), parts).tolist()  # [label][fold]: positives still to come
    labels_of = _labels_of(has)
    columns, order = np.ascontiguousarray(has.T), np.argsort(noise[0], kind="stable")
    fold = np.full(len(has), -1, dtype=np.int64)
    left = has.sum(0)
    while left.any():
        label = int(np.where(left > 0, left, len(has) + 1).argmin())
        rows = order[columns[label, order] & (fold[order] < 0)]
        for row in rows.tolist():
            best = _neediest(wanted[label], room, noise[1, row])
            fold[row] = best
            room[best] -= 1
            for other in labels_of[row]:
                wanted[other][best] -= 1
        left = left - has[rows].sum(0)
    rest = order[fold[order] < 0]
    fold[rest] = np.random.default_rng([seed, 1]).permutation(np.repeat(np.arange(len(parts)), room))
    return fold


def _checked(targets: ArrayLike, shares: Sequence[float]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    values, parts = np.asarray(targets), np.asarray(shares, dtype=np.float64)
    if values.ndim != 2 or not np.isin(values, (0, 1)).all():
        raise ValueError(f"expected targets (N, L) of 0 and 1, got {values.dtype} {values.shape}")
    if parts.ndim != 1 or not len(parts) or not (np.isfinite(parts) & (parts > 0)).all():
        raise ValueError(f"expected shares above 0, one for each fold, got {parts.tolist()}")
    return values.astype(np.bool_), parts / parts.sum()


def _sizes(n: int, parts: NDArray[np.float64]) -> list[int]:
    """Whole numbers with the sum n, each the nearest below or above n * part."""
    exact = n * parts
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    short = n - int(sizes.sum())
    sizes[np.argsort(sizes - exact, kind="stable")[:short]] += 1
    return list(sizes.tolist())


def _labels_of(has: NDArray[np.bool_]) -> list[list[int]]:
    """The labels of each row."""
    ends = np.cumsum(has.sum(1))[:-1]
    return [part.tolist() for part in np.split(np.nonzero(has)[1], ends)]


def _neediest(wanted: list[float], room: list[int], noise: float) -> int:
    """The fold with room that misses most; of several the one with the most room, then by noise 0 .. 1."""
    keys = [(wanted[fold], places) if places else (-np.inf, 0) for fold, places in enumerate(room)]
    most = max(keys)
    best = [fold for fold, key in enumerate(keys) if key == most]
    return best[int(noise * len(best))]


def quantile_strata(values: ArrayLike, bins: int = 10) -> NDArray[np.int64]:
    """The stratum (N,), 0 and up, of each row of real-valued targets: bins of equally many rows.

    One target is binned by its value; of several the first principal component of the standardised targets is. Equal
    values share a stratum, so there may be fewer than `bins`: one if the targets are constant. There are at most N / 5,
    since of a stratum of one row nothing can be validated or tested on.

    Args:
        values: (N, K), K > 0.
        bins: strata at most.

    Raises:
        ValueError: another shape, values that are not finite, bins below 1.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or not found.shape[1] or not np.isfinite(found).all():
        raise ValueError(f"expected values (N, K), all finite, got {found.shape}")
    if bins < 1:
        raise ValueError(f"bins: expected 1 or more, got {bins}")
    if not len(found):
        return np.zeros(0, dtype=np.int64)
    score = found[:, 0] if found.shape[1] == 1 else _first_component(found)
    several = min(bins, max(1, len(found) // _ROWS))
    edges = np.quantile(score, np.arange(1, several) / several)
    return np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)[1].astype(np.int64)


def _first_component(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first principal component (N,) of the standardised columns; constant ones have no part in it."""
    spread = np.where(np.ptp(values, axis=0) > 0, values.std(axis=0), np.inf)
    standard = (values - values.mean(axis=0)) / spread
    _, vectors = np.linalg.eigh(standard.T @ standard)
    direction = vectors[:, -1]
    return standard @ (direction * np.sign(direction[np.abs(direction).argmax()]))
