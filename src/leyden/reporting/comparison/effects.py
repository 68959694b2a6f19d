"""Main effects and pairwise interactions of keys, by least squares on dummy variables, for any design.

    found = effects([{"model": "cnn", "lr": "0.1"}, ...], [0.93, ...], replicates=[1, 2, ...], overlap=0.25)
    found.keys[0].levels[0].difference, found.pairs[0].share

The model of the main effects is sum-coded: an effect is a value's difference from the mean over all values of
its key, the other keys held constant. Runs of one replicate (seed, fold) are a block of a randomised block design:
what they have in common is subtracted, and effects are differences within blocks. The error of a key or a pair is its
own variation from block to block, as in a paired t test, which the F test of a key with two values equals: seeds may
differ more between models than between learning rates. Without blocks it is the residual of the model with all pairs.
Values may vary unequally, as an unstable learning rate does: `variation` says what that costs in degrees of freedom.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.special import fdtrc

from leyden.reporting.comparison.least_squares import (
    Codes,
    Fit,
    Floats,
    Runs,
    directions,
    fit,
    is_rounding,
    within,
)
from leyden.reporting.comparison.statistics import holm, quantile
from leyden.reporting.comparison.variation import variation

_MAX_DUMMIES = 60  # in total: a key with a different value in each run is not a factor
_MAX_COLUMNS = 150  # of the model with all pairs; above it the noise is the variance within cells


@dataclass(frozen=True)
class Level:
    """One value of a key: its effect with a 95 % interval, None if nothing varies. n: number of runs."""

    value: str
    n: int
    difference: float
    low: float | None
    high: float | None


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

    Attributes:
        residual: the share of the variance that no key and no pair explains.
        between: the share between replicates: of the luck that runs of one seed have in common.
        n: number of values that are compared; alone: of values left out, since no other has their replicate.
        replicates: the number of replicates within which they are compared; 0: none is common to two runs.
        reason: why there are no effects, else "".
    """

    keys: tuple[Share, ...] = ()
    pairs: tuple[Share, ...] = ()
    residual: float = 0.0
    between: float = 0.0
    n: int = 0
    alone: int = 0
    replicates: int = 0
    reason: str = ""


class _Test(NamedTuple):
    names: tuple[str, ...]
    explained: float  # sum of squares
    p: float | None


def effects(
    settings: Sequence[Mapping[str, str]],
    values: Sequence[float],
    replicates: Sequence[Hashable] = (),
    overlap: float = 0.0,
) -> Effects:
    """Estimate the effects of keys on the values of runs; keys that vary together are treated as one.

    Args:
        settings: of each run, {key: value}; all have the same keys.
        values: of each run.
        replicates: of each run, what it has in common with runs of other settings: its seed, its fold. Runs
            that share it are compared with each other only; () if no runs share one.
        overlap: n_test / n_train if the training data of the replicates overlap (Nadeau and Bengio 2003), else 0.
    """
    blocks, used = _blocks(replicates or range(len(values)))
    factors = _factors([settings[run] for run in used])
    if len(factors) < 2:
        return Effects(reason="fewer than two keys vary")
    y = np.asarray(values, np.float64)[used]
    found = _estimate(
        factors, _runs(y, np.stack([codes for codes, _ in factors.values()], 1), blocks, overlap)
    )
    several = int(blocks.max()) + 1 if len(set(replicates)) < len(replicates) else 0
    return replace(found, n=len(used), alone=len(values) - len(used), replicates=several)


def _blocks(replicates: Sequence[Hashable]) -> tuple[Codes, list[int]]:
    """Return the block of each run that shares one with another run, and these runs; one block if none does."""
    counts = Counter(replicates)
    used = [run for run, replicate in enumerate(replicates) if counts[replicate] > 1]
    if not used:
        return np.zeros(len(replicates), np.int64), list(range(len(replicates)))
    order = {
        replicate: place for place, replicate in enumerate(dict.fromkeys(replicates[run] for run in used))
    }
    return np.asarray([order[replicates[run]] for run in used], np.int64), used


def _runs(y: Floats, codes: Codes, blocks: Codes, overlap: float) -> Runs:
    """Add the inflation of the variance of a mean over b replicates: 1/b + n_test / n_train instead of 1/b."""
    runs = Runs(y, codes, blocks, 1.0)
    of_cell = np.bincount(runs.together().cells().blocks)
    replicates = max(int(blocks.max()) + 1, 0 if blocks.any() else int(of_cell.max()))
    return runs._replace(inflation=1 + replicates * overlap)


def _estimate(factors: Mapping[str, tuple[Codes, list[str]]], runs: Runs) -> Effects:
    dummies = {name: _contrasts(len(levels))[codes] for name, (codes, levels) in factors.items()}
    reason = _not_estimable(list(dummies.values()), runs)
    if reason:
        return Effects(reason=reason)
    noise, products = _noise(runs, dummies, _products(dummies))
    tests = _tests(runs, dummies, products, noise)
    adjusted = holm([test.p for test in tests])
    levels = _levels(factors, dummies, runs, noise)
    in_blocks, total = fit(runs, ()).squares, fit(runs.together(), ()).squares
    shares = [
        Share(test.names, test.explained / total, p, levels.get(test.names, ()))
        for test, p in zip(tests, adjusted, strict=True)
    ]
    shares.sort(key=lambda share: -share.share)
    return Effects(
        tuple(share for share in shares if len(share.names) == 1),
        tuple(share for share in shares if len(share.names) == 2 and share.p is not None),
        noise.squares / total,
        max(0.0, 1 - in_blocks / total),
    )


def _factors(settings: Sequence[Mapping[str, str]]) -> dict[str, tuple[Codes, list[str]]]:
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


def _not_estimable(dummies: Sequence[Floats], runs: Runs) -> str:
    """Return the reason why no effect can be estimated; "" if effects can."""
    columns = sum(d.shape[1] for d in dummies)
    if columns > _MAX_DUMMIES:
        return "the keys have too many values"
    if is_rounding(fit(runs, ()).squares, runs):
        return "all runs have equal values"
    together, in_blocks = (fit(of, dummies) for of in (runs.together(), runs))
    if together.rank < columns:
        return "the keys do not vary independently in these runs"
    if in_blocks.rank < columns:
        return "the keys do not vary independently in the runs of common seeds"
    return "" if in_blocks.freedom >= 1 else "there are too few runs"


def _contrasts(levels: int) -> Floats:
    """Return the sum coding (levels, levels - 1) from coefficients to effects; the last is minus the others' sum."""
    return np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])


def _products(dummies: Mapping[str, Floats]) -> dict[tuple[str, ...], Floats]:
    """Return the interaction columns of every pair of keys."""
    return {
        (one, two): np.einsum("ni,nj->nij", dummies[one], dummies[two]).reshape(len(dummies[one]), -1)
        for one, two in combinations(dummies, 2)
    }


def _noise(
    runs: Runs, dummies: Mapping[str, Floats], products: Mapping[tuple[str, ...], Floats]
) -> tuple[Fit, Mapping[tuple[str, ...], Floats]]:
    """Return the residual of the model with all pairs (of very many: within cells), and the pairs.

    Where these leave no residual it is that of the main effects, and there are no pairs.
    """
    columns = [*dummies.values(), *products.values()]
    if sum(c.shape[1] for c in columns) <= _MAX_COLUMNS:
        full = fit(runs, columns)
    else:
        full = fit(runs.together().cells(), [np.eye(int(runs.blocks.max()) + 1)[runs.blocks]])
    return (full, products) if full.freedom >= 1 else (fit(runs, dummies.values()), {})


def _tests(
    runs: Runs, dummies: Mapping[str, Floats], products: Mapping[tuple[str, ...], Floats], noise: Fit
) -> list[_Test]:
    """Test each key beyond the other keys, and then each pair beyond all keys."""
    main = fit(runs, dummies.values())
    others = {name: fit(runs, [d for n, d in dummies.items() if n != name]) for name in dummies}
    tested: list[tuple[tuple[str, ...], Floats]]
    tested = [((name,), directions(runs, dummies[name], others[name])) for name in dummies]
    tested += [(names, directions(runs, columns, main)) for names, columns in products.items()]
    place = {name: index for index, name in enumerate(dummies)}
    return [
        _f_test(names, contrasts, [place[name] for name in names], noise, runs) for names, contrasts in tested
    ]


def _f_test(
    names: tuple[str, ...], contrasts: Floats, factors: Sequence[int], noise: Fit, runs: Runs
) -> _Test:
    """Return the sum of squares of orthonormal contrasts (runs, k) of factors, and its F test."""
    explained = float(((contrasts.T @ runs.y) ** 2).sum())
    found = variation(contrasts, factors, noise, runs)
    if not found.bottom or is_rounding(found.total, runs):
        return _Test(names, explained, None)
    ratio = explained / (found.total * runs.inflation)
    return _Test(names, explained, float(fdtrc(found.top, found.bottom, ratio)))


def _levels(
    factors: Mapping[str, tuple[Codes, list[str]]], dummies: Mapping[str, Floats], runs: Runs, noise: Fit
) -> dict[tuple[str, ...], tuple[Level, ...]]:
    """Return the effect of each value of each key, with the t interval of its own variation."""
    design = within(np.hstack(list(dummies.values())), runs.blocks)
    weights, start = design @ np.linalg.inv(design.T @ design), 0
    found: dict[tuple[str, ...], tuple[Level, ...]] = {}
    for place, (name, (codes, levels)) in enumerate(factors.items()):
        part = slice(start, start := start + len(levels) - 1)
        of_levels = weights[:, part] @ _contrasts(len(levels)).T  # (runs, levels)
        counts = np.bincount(codes).tolist()
        found[(name,)] = tuple(
            _level(value, n, own, place, noise, runs)
            for value, n, own in zip(levels, counts, of_levels.T, strict=True)
        )
    return found


def _level(value: str, n: int, weights: Floats, factor: int, noise: Fit, runs: Runs) -> Level:
    """Return the effect of a factor's level, which weights (runs,) make of the values."""
    effect, size = float(weights @ runs.y), float(np.linalg.norm(weights))
    own = variation(weights[:, None] / size, [factor], noise, runs)
    if not own.bottom or is_rounding(own.total, runs):
        return Level(value, n, effect, None, None)
    half = quantile(own.bottom) * size * float(np.sqrt(own.total * runs.inflation))
    return Level(value, n, effect, effect - half, effect + half)
