"""Slices: groups of rows, named by facts, in which errors are more frequent than elsewhere.

Every fact is cut into terms ("site = north", "brightness > 0.4"); every term and every two together are a candidate.
Looking at hundreds of candidates finds a bad one in any data, so the best one is held against the best one of the same
rows with their errors dealt out anew (Westfall, Young 1993). What is held against it is how far its errors are beyond a
difference of EFFECT, not how far from none: errors of any net depend a little on what is seen. Where no error rate is
more than EFFECT higher, a slice is found in at most LEVEL of all runs, however many facts there are and however they
overlap. A slice that was found becomes part of what is known, and the next one is searched within and without it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.utils.text import percent

FEWEST = 30  # rows of a slice, and of the rest
EFFECT = 0.05  # by which its error rate is higher than that of the rest
LEVEL = 0.05
MOST = 5  # slices
DEALS = 999  # of the errors: the smallest p-value is 1 / (DEALS + 1)
_CUTS = (0.2, 0.4, 0.6, 0.8)  # quantiles at which a number is cut
_FEW_VALUES = 10  # a number with at most so many is also taken value by value
_BLOCK = 1 << 23  # counts held at once: 32 MB
_UNDECIDED = 0.05  # a second term that adds no more than this to the first is left out

Facts = Mapping[str, NDArray[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """Rows in which errors are more frequent.

    Attributes:
        terms: what they have in common, in words: ("mark = yes", "length > 12").
        n: how many they are.
        errors: how many of them are wrong.
        rate: errors / n. Of the best of many candidates: on new rows expect less.
        rest_rate: the same of all other rows.
        p: how often the best candidate of errors dealt out anew stands out as much from none as this one from EFFECT.
        places: int64 (n,), where in the facts' rows they stand.
    """

    terms: tuple[str, ...]
    n: int
    errors: int
    rate: float
    rest_rate: float
    p: float
    places: Ints

    def __str__(self) -> str:
        """One line."""
        rates = f"{self.errors} of {self.n} wrong ({percent(self.rate, 2)}, elsewhere {percent(self.rest_rate, 2)})"
        return f"{' and '.join(self.terms)}: {rates}, p = {self.p:.3g}"


class _Candidates(NamedTuple):
    """Terms (T,) and pairs of them (P,): a term with itself is the term alone.

    members: bool (T, N). first, second: int64 (P,), places of the terms. sizes: int64 (P,).
    """

    names: list[str]
    members: Bools
    first: Ints
    second: Ints
    sizes: Ints

    def rows(self, place: int) -> Bools:
        return self.members[self.first[place]] & self.members[self.second[place]]

    def terms(self, place: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.names[i] for i in (self.first[place], self.second[place])))


class _Expected(NamedTuple):
    """Mean and standard deviation of the errors of each candidate (P,)."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def scores(self, counts: NDArray[np.float32]) -> NDArray[np.float64]:
        """Standard deviations (..., P) of errors (..., P) above the mean; -inf where nothing can vary."""
        can_vary = self.deviation > 0
        return np.where(can_vary, (counts - self.mean) / np.where(can_vary, self.deviation, 1), -np.inf)


def slices(facts: Facts, wrong: Bools, strata: Ints | None = None, seed: int = 0) -> list[Slice]:
    """The slices of a set of rows, the most certain first.

    Args:
        facts: of the rows (N,), by name: numbers (NaN where unknown) or texts ("" where unknown).
        wrong: bool (N,).
        strata: int (N,), groups whose error rates are known to differ, such as the true classes: errors are compared
            and dealt out anew within them, so that a hard class is no slice. None: one group.
        seed: of the dealing.

    Returns:
        At most MOST slices of at least FEWEST rows, whose error rate is more than EFFECT above the rest's with a
        p-value of at most LEVEL.
    """
    candidates = _candidates(facts, len(wrong))
    if strata is None:
        strata = np.zeros(len(wrong), np.int64)
    found: list[Slice] = []
    while len(found) < MOST and len(candidates.sizes):
        best = _best(candidates, wrong, strata, np.random.default_rng([seed, len(found)]))
        if best is None:
            break
        found.append(best)
        inside = np.isin(np.arange(len(wrong)), best.places)
        strata = np.unique(strata * 2 + inside, return_inverse=True)[1]
    return found


def _best(candidates: _Candidates, wrong: Bools, strata: Ints, rng: np.random.Generator) -> Slice | None:
    """The candidate that stands out most, None where chance explains it."""
    counts = _counts(candidates, np.flatnonzero(wrong)[None])[0]
    rest_rates = (int(wrong.sum()) - counts) / (len(wrong) - candidates.sizes)
    is_large = counts / candidates.sizes - rest_rates >= EFFECT
    scores = np.where(is_large, _expected(candidates, wrong, strata, EFFECT).scores(counts), -np.inf)
    if scores.max() <= 0:
        return None
    chance = _expected(candidates, wrong, strata, 0.0)
    deals = _deals(wrong, strata, len(candidates.sizes), rng)
    highest = np.concatenate([chance.scores(_counts(candidates, dealt)).max(axis=1) for dealt in deals])
    p = (1 + (highest[:, None] >= scores - 1e-9).sum(axis=0)) / (len(highest) + 1)
    place = int(scores.argmax())
    if p[place] > LEVEL:
        return None
    place = _simplest(candidates, place, p, wrong)
    n, errors, rest_rate = int(candidates.sizes[place]), int(counts[place]), float(rest_rates[place])
    rows = np.flatnonzero(candidates.rows(place))
    return Slice(candidates.terms(place), n, errors, errors / n, rest_rate, float(p[place]), rows)


def _simplest(candidates: _Candidates, place: int, p: NDArray[np.float64], wrong: Bools) -> int:
    """Of two terms the one alone that says as much: a slice by itself, in which the other term makes no difference."""
    from scipy.stats import hypergeom

    pair = int(candidates.first[place]), int(candidates.second[place])
    for one, other in (pair, pair[::-1]):
        alone = np.flatnonzero((candidates.first == one) & (candidates.second == one))
        if one == other or not len(alone) or p[alone[0]] > LEVEL:
            continue
        rows, both = candidates.members[one], candidates.rows(place)
        drawn = (int(rows.sum()), int(wrong[rows].sum()), int(both.sum()))
        if hypergeom.sf(int(wrong[both].sum()) - 1, *drawn) > _UNDECIDED:
            return int(alone[0])
    return place


def _deals(wrong: Bools, strata: Ints, candidates: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Yield (B, W) rows that are wrong when the errors of each stratum are dealt out among its rows, DEALS in all."""
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    numbers = [int(wrong[rows].sum()) for rows in groups]
    step = max(1, _BLOCK // max(len(wrong), candidates))
    for start in range(0, DEALS, step):
        size = min(step, DEALS - start)
        dealt = [
            rows[rng.random((size, len(rows))).argpartition(number - 1, axis=1)[:, :number]]
            for rows, number in zip(groups, numbers, strict=True)
            if number
        ]
        yield np.concatenate(dealt, axis=1)


def _counts(candidates: _Candidates, wrong: Ints) -> NDArray[np.float32]:
    """Errors (B, P) of each candidate, of B sets (B, W) of rows that are wrong."""
    found = np.empty((len(wrong), len(candidates.sizes)), np.float32)
    for at, rows in enumerate(wrong):
        own = candidates.members[:, rows].astype(np.float32)
        found[at] = (own @ own.T)[candidates.first, candidates.second]
    return found


def _expected(candidates: _Candidates, wrong: Bools, strata: Ints, effect: float) -> _Expected:
    """Where a candidate's error rate is in every stratum `effect` above that of the stratum's other rows.

    With an effect of 0 the moments of the errors dealt out (Mantel, Haenszel 1959); else those of a test against a
    difference of rates (Farrington, Manning 1990).
    """
    mean, variance = np.zeros(len(candidates.sizes)), np.zeros(len(candidates.sizes))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        size, rate = len(rows), float(wrong[rows].mean())
        own = _counts(candidates, rows[None])[0].astype(np.float64)
        rest = size - own
        inside = np.minimum(rate + effect * rest / size, 1.0)
        outside = np.maximum(rate - effect * own / size, 0.0)
        mean += own * (rate + effect * rest / size)
        spread = rest * inside * (1 - inside) + own * outside * (1 - outside)
        variance += own * rest * spread / (size * max(1, size - 1))
    return _Expected(mean, np.sqrt(variance))


def _candidates(facts: Facts, total: int) -> _Candidates:
    """Terms and pairs of terms with enough rows in and out of them."""
    names, members = [], []
    for name, member in (term for fact, values in facts.items() for term in _terms(fact, values)):
        if FEWEST <= member.sum() <= total - FEWEST:
            names.append(name)
            members.append(member)
    stacked = np.array(members, bool).reshape(-1, total)
    shared = stacked.astype(np.float32) @ stacked.astype(np.float32).T
    first, second = np.nonzero(np.triu(shared >= FEWEST))
    order = np.argsort(first != second, kind="stable")  # of equals the single term
    first, second = first[order], second[order]
    return _Candidates(names, stacked, first, second, shared[first, second].astype(np.int64))


def _terms(fact: str, values: NDArray[Any]) -> Iterator[tuple[str, Bools]]:
    """Yield (words, rows) of everything that a fact says of a row."""
    if values.dtype.kind not in "fiub":
        for value in np.unique(values):
            yield f"{fact} = {value}" if value != "" else f"{fact} is empty", values == value
        return
    numbers = values.astype(np.float64)
    there = numbers[np.isfinite(numbers)]
    yield f"{fact} is empty", ~np.isfinite(numbers)
    distinct = np.unique(there)
    for value in distinct if len(distinct) <= _FEW_VALUES else ():
        yield f"{fact} = {value:g}", numbers == value
    cuts = np.quantile(there, _CUTS, method="lower") if len(there) else ()
    for cut in dict.fromkeys(float(cut) for cut in cuts):
        yield f"{fact} <= {cut:.4g}", numbers <= cut
        yield f"{fact} > {cut:.4g}", numbers > cut
