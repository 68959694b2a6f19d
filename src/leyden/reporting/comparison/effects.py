"""Main effects and pairwise interactions of keys, by least squares on dummy variables, for any design.

    found = effects([{"model": "cnn", "lr": "0.1"}, ...], [0.93, ...])
    found.keys[0].levels[0].difference, found.pairs[0].share

The model of the main effects is sum-coded: an effect is a value's difference from the mean over all values of
its key, the other keys held constant. The residual variance is that of the model with all pairs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from leyden.reporting.comparison.statistics import holm, quantile

Floats = NDArray[np.float64]
_MAX_DUMMIES = 60  # in total: a key with a different value in each run is not a factor
_MAX_COLUMNS = 150  # of the model with all pairs; above it the noise is the variance within cells


@dataclass(frozen=True)
class Level:
    """One value of a key: its effect with a 95 % interval. n: number of runs."""

    value: str
    n: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Share:
    """A key, or a pair of keys: its share of the variance of the runs, and the p of its F test, by Holm over all."""

    names: tuple[str, ...]
    share: float
    p: float | None
    levels: tuple[Level, ...] = ()

    @property
    def spread(self) -> float:
        """Largest minus smallest effect; 0 for a pair."""
        found = [level.difference for level in self.levels]
        return max(found) - min(found) if found else 0.0


@dataclass(frozen=True)
class Effects:
    """Keys and pairs, the largest share first; a pair that cannot be estimated from the runs is omitted.

    residual: the remaining share of the variance; reason: why there are no effects, else "".
    """

    keys: tuple[Share, ...] = ()
    pairs: tuple[Share, ...] = ()
    residual: float = 0.0
    reason: str = ""


class _Cells(NamedTuple):
    """Runs of equal settings as one cell: number of runs, mean, and the sum of squares within all cells."""

    codes: NDArray[np.int64]  # (cells, factors)
    n: Floats
    mean: Floats
    within: float


class _Fit(NamedTuple):
    squares: float  # residual sum of squares
    freedom: float  # residual degrees of freedom


class _FTest(NamedTuple):
    names: tuple[str, ...]
    explained: float
    p: float | None


def effects(settings: Sequence[Mapping[str, str]], values: Sequence[float]) -> Effects:
    """Estimate the effects of keys on the values of runs; keys that vary together are treated as one.

    Args:
        settings: of each run, {key: value}; all have the same keys.
        values: of each run.
    """
    factors = _factors(settings)
    if len(factors) < 2:
        return Effects(reason="fewer than two keys vary")
    cells = _cells(np.stack([codes for codes, _ in factors.values()], axis=1), np.asarray(values, np.float64))
    total = _fit(cells, [])
    dummies = {
        name: _contrasts(len(levels))[cells.codes[:, place]]
        for place, (name, (_, levels)) in enumerate(factors.items())
    }
    reason = _not_estimable(dummies, cells, total)
    if reason:
        return Effects(reason=reason)
    main, products = _fit(cells, dummies.values()), _products(dummies)
    noise = _noise(cells, dummies, products, main)
    keys = [
        _f_test((name,), _fit(cells, [d for n, d in dummies.items() if n != name]), main, noise)
        for name in dummies
    ]
    pairs = [
        _f_test(names, main, _fit(cells, [*dummies.values(), columns]), noise)
        for names, columns in products.items()
    ]
    adjusted = holm([found.p for found in (*keys, *pairs)])
    levels = _levels(factors, dummies, cells, noise)
    shares = [
        Share(found.names, found.explained / total.squares, p, levels.get(found.names[0], ()) if key else ())
        for found, p, key in zip(
            (*keys, *pairs), adjusted, [True] * len(keys) + [False] * len(pairs), strict=True
        )
    ]
    shares.sort(key=lambda share: -share.share)
    return Effects(
        tuple(share for share in shares if len(share.names) == 1),
        tuple(share for share in shares if len(share.names) == 2 and share.p is not None),
        noise.squares / total.squares,
    )


def _factors(settings: Sequence[Mapping[str, str]]) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
    """Return name -> (level of each run, names of the levels); keys that partition the runs equally are merged."""
    merged: dict[tuple[int, ...], list[str]] = {}
    for name in settings[0] if settings else ():
        column = [of_run[name] for of_run in settings]
        order = {value: place for place, value in enumerate(dict.fromkeys(column))}
        if len(order) > 1:
            merged.setdefault(tuple(order[value] for value in column), []).append(name)
    found = {}
    for codes, names in merged.items():
        firsts = [codes.index(level) for level in range(max(codes) + 1)]
        levels = [" ".join(settings[run][name] for name in names) for run in firsts]
        found[" + ".join(names)] = (np.asarray(codes, np.int64), levels)
    return found


def _cells(codes: NDArray[np.int64], y: Floats) -> _Cells:
    """Aggregate runs to cells: a fit on the cells' means, weighted by their runs, equals the fit on the runs."""
    unique, of_run = np.unique(codes, axis=0, return_inverse=True)
    of_run = of_run.reshape(-1)
    n = np.bincount(of_run).astype(np.float64)
    mean = np.bincount(of_run, y) / n
    return _Cells(unique, n, mean, float(((y - mean[of_run]) ** 2).sum()))


def _not_estimable(dummies: Mapping[str, Floats], cells: _Cells, total: _Fit) -> str:
    """Return the reason why no effect can be estimated; "" if effects can."""
    if sum(d.shape[1] for d in dummies.values()) > _MAX_DUMMIES:
        return "the keys have too many values"
    if total.squares <= 1e-18 * float(cells.n.sum()):
        return "all runs have equal values"
    design = _design(cells, dummies.values())
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return "the keys do not vary independently in these runs"
    if cells.n.sum() <= design.shape[1]:
        return "there are too few runs"
    return ""


def _contrasts(levels: int) -> Floats:
    """Return the sum coding (levels, levels - 1) from coefficients to effects; the last is minus the others' sum."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])


def _design(cells: _Cells, dummies: Iterable[Floats]) -> Floats:
    return np.hstack([np.ones((len(cells.n), 1)), *dummies])


def _products(dummies: Mapping[str, Floats]) -> dict[tuple[str, ...], Floats]:
    """Return the interaction columns of every pair of keys."""
    return {
        (one, two): np.einsum("ni,nj->nij", dummies[one], dummies[two]).reshape(len(dummies[one]), -1)
        for one, two in combinations(dummies, 2)
    }


def _fit(cells: _Cells, dummies: Iterable[Floats]) -> _Fit:
    """Weighted least squares by the normal equations; collinear columns count once.

    With dummies of -1, 0 and 1 the equations are well conditioned, and for thousands of cells far cheaper than an SVD.
    """
    weights = np.sqrt(cells.n)
    design = _design(cells, dummies) * weights[:, None]
    target = cells.mean * weights
    sizes, axes = np.linalg.eigh(design.T @ design)
    kept = sizes > 1e-10 * sizes[-1]
    axes = axes[:, kept]
    coefficients = axes @ ((axes.T @ (design.T @ target)) / sizes[kept])
    squares = float(((target - design @ coefficients) ** 2).sum()) + cells.within
    return _Fit(squares, float(cells.n.sum()) - int(kept.sum()))


def _noise(cells: _Cells, dummies: Mapping[str, Floats], products: Mapping[Any, Floats], main: _Fit) -> _Fit:
    """Return the residual of the model with all pairs (of very many: within cells), or else of the main effects."""
    columns = [*dummies.values(), *products.values()]
    if sum(c.shape[1] for c in columns) <= _MAX_COLUMNS:
        full = _fit(cells, columns)
    else:
        full = _Fit(cells.within, float(cells.n.sum()) - len(cells.n))
    return full if full.freedom >= 1 else main


def _f_test(names: tuple[str, ...], without: _Fit, fitted: _Fit, noise: _Fit) -> _FTest:
    """Return the sum of squares that the columns explain beyond the fit without them, and its F test."""
    explained, freedom = max(without.squares - fitted.squares, 0.0), without.freedom - fitted.freedom
    if freedom < 1 or noise.squares <= 0:
        return _FTest(names, explained, None)
    ratio = (explained / freedom) / (noise.squares / noise.freedom)
    return _FTest(names, explained, float(fdtrc(freedom, noise.freedom, ratio)))


def _levels(
    factors: Mapping[str, tuple[NDArray[np.int64], list[str]]],
    dummies: Mapping[str, Floats],
    cells: _Cells,
    noise: _Fit,
) -> dict[str, tuple[Level, ...]]:
    """Return the effect of each value of each key, with its t interval."""
    design = _design(cells, dummies.values())
    weighted = design * cells.n[:, None]
    inverse = np.linalg.inv(design.T @ weighted)
    coefficients = inverse @ (weighted.T @ cells.mean)
    variance = inverse * (noise.squares / noise.freedom)
    width, start, found = quantile(noise.freedom), 1, {}
    for place, (name, (_, levels)) in enumerate(factors.items()):
        contrasts, part = _contrasts(len(levels)), slice(start, start + len(levels) - 1)
        start = part.stop
        of_level = contrasts @ coefficients[part]
        errors = np.sqrt(np.einsum("li,ij,lj->l", contrasts, variance[part, part], contrasts))
        runs = np.bincount(cells.codes[:, place], cells.n, len(levels))
        found[name] = tuple(
            Level(value, int(n), float(d), float(d - width * e), float(d + width * e))
            for value, n, d, e in zip(levels, runs, of_level, errors, strict=True)
        )
    return found
