"""AUROC and average precision, one class against the rest, and what each sample contributes to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.intervals import SHARE, by_influence, without
from leyden.metrics.results import Estimate
from leyden.utils.text import plural

FEWEST, FEWEST_PRECISION = 3, 5  # samples of a class; average precision of few is biased
# A class without errors may have this many times fewer samples than one whose variance is known.
_AS_MANY = 1.5


@dataclass(frozen=True)
class Ranked:
    """The samples of one class against the rest, in descending order of score.

    order: (N,) samples. For each of the P positives, in that order: `positives`, its place among the N; `above` and
    `until`, where its group of tied scores starts and ends among the N; `first` and `last`, the same
    among the P. A group's end is the place after its last member.
    """

    order: NDArray[np.int64]
    positives: NDArray[np.int64]
    above: NDArray[np.int64]
    until: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def rank(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Ranked:
    """Sort one class: scores (N,), positive (N,)."""
    falling = -scores
    order = np.argsort(falling)
    everyone = falling[order]
    places = np.flatnonzero(positive[order])
    mine = everyone[places]
    above = np.searchsorted(everyone, mine, side="left")
    until = np.searchsorted(everyone, mine, side="right")
    # positives before a place
    first, last = (np.searchsorted(places, edge) for edge in (above, until))
    return Ranked(order, places, above, until, first, last)


def areas(ranked: Ranked) -> tuple[float, float]:
    """(AUROC, average precision); NaN where undefined.

    AUROC is the probability that a positive outranks a negative, ties counting one half (Mann and Whitney
    1947); it needs both. Average precision is the mean over the positives of the precision at their score,
    without interpolation; it needs a positive.
    """
    positives = len(ranked.positives)
    negatives = len(ranked.order) - positives
    if not positives:
        return np.nan, np.nan
    auroc = 1 - float(_lost(ranked).mean()) / negatives if negatives else np.nan
    return auroc, float(np.mean(ranked.last / ranked.until))


def _lost(ranked: Ranked) -> NDArray[np.float64]:
    """Of each positive (P,) the negatives that outrank it, a tie counting one half."""
    # those that score as much or more, and those that score more
    return ((ranked.until - ranked.last) + (ranked.above - ranked.first)) / 2


def influences(ranked: Ranked) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each sample contributes to AUROC and to average precision, as `intervals.by_influence` takes it: (N,) each.

    Needs two positives and two negatives. Of AUROC they are the placements of DeLong, DeLong and Clarke-Pearson 1988,
    (their mean's deviations) / P of positives and / M of negatives, scaled so that their squares add up to its
    variance. One more sample at rank t changes average precision by its own precision, and by the precision of every
    positive that ranks as low or lower; those of positives are scaled alike, by P / (P - 1) in the variance.
    """
    n, positives = len(ranked.order), len(ranked.positives)
    negatives = n - positives
    auroc, average_precision = areas(ranked)
    hit = np.zeros(n, dtype=np.bool_)
    hit[ranked.positives] = True
    # positives that rank higher than each place, and that rank higher or share its score
    higher, not_lower = (
        np.bincount(edge, minlength=n + 1).cumsum()[:n] for edge in (ranked.until, ranked.above)
    )
    by_place = np.empty((2, n))
    by_place[0, hit] = (1 - _lost(ranked) / negatives - auroc) / np.sqrt(positives * (positives - 1))
    placed = (higher + not_lower)[~hit] / (2 * positives)
    by_place[0, ~hit] = (placed - auroc) / np.sqrt(negatives * (negatives - 1))
    precision = ranked.last / ranked.until
    # sums over the positives that rank as low as a place or lower: of 1 / called, of precision / called
    more, less = (_from_the_end(part)[higher] for part in (1 / ranked.until, precision / ranked.until))
    by_place[1] = (np.where(hit, more, 0.0) - less) / positives
    by_place[1, hit] += (precision - average_precision) / positives
    by_place[1, hit] *= np.sqrt(positives / (positives - 1))
    out = np.empty_like(by_place)
    out[:, ranked.order] = by_place
    return out[0], out[1]


def _from_the_end(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of parts (P,) from each to the last, and of none: (P + 1,)."""
    return np.append(np.cumsum(parts[::-1])[::-1], 0.0)


def one_vs_rest(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Ranked]:
    """Each class of (C, N) ranked against the rest; of two classes class 1 alone."""
    classes = range(1, 2) if len(probabilities) == 2 else range(len(probabilities))
    return [rank(probabilities[c], labels == c) for c in classes]


def means(areas: NDArray[np.float64]) -> tuple[float, float]:
    """Mean AUROC and mean average precision of classes (C, 2), over those that have them."""
    known = ~np.isnan(areas)
    total = np.where(known, areas, 0.0).sum(0)
    auroc, average_precision = np.divide(total, known.sum(0), out=np.full(2, np.nan), where=known.any(0))
    return float(auroc), float(average_precision)


def bias(ranked: Ranked) -> float:
    """By how much average precision of two positives or more is too high on average, to the second order.

    The precision at a positive, hits / called, counts this positive as a hit, whatever its rank; and it is a ratio of
    two numbers that vary. With the share r of the positives called so far, the first adds
    (1 - precision) / called * (1 - r) P / (P - 1), the second (1 - precision) / called * precision * r.
    """
    positives = len(ranked.positives)
    precision, share = ranked.last / ranked.until, ranked.last / positives
    itself = (1 - share) * positives / (positives - 1)
    return float(np.mean((1 - precision) / ranked.until * (itself + precision * share)))


def intervals(classes: Iterable[Ranked], n: int) -> tuple[Estimate, Estimate]:
    """Mean AUROC and mean average precision of classes of n samples, with their intervals; see `influences`.

    What a sample contributes is added over the classes, so that their covariances are in the variance. There is no
    interval where a class that counts has too few samples for a variance of its own.
    """
    found, counts, biases, exact, influence = [], [], [], [], np.zeros((2, n))
    for ranked in classes:
        hits = len(ranked.positives)
        found.append(areas(ranked))
        counts.append((hits, n - hits))
        several = min(counts[-1]) > 1
        own = np.array(influences(ranked)) if several else np.zeros((2, n))
        influence += own
        biases.append(bias(ranked) if several else 0.0)
        exact.append(~own.any(1))
    values, sizes = means(np.reshape(found, (-1, 2))), np.reshape(counts, (-1, 2))
    without_errors = np.reshape(exact, (-1, 2))
    auroc, precision = (
        _Parts(values[k], influence[k], size[size > 0], without_errors[size > 0, k])
        for k, size in enumerate((sizes.min(1), sizes[:, 0]))
    )
    return (
        auroc.interval(FEWEST, name="DeLong"),
        precision.interval(FEWEST_PRECISION, bias=sum(biases) / max(len(precision.sizes), 1)),
    )


@dataclass(frozen=True)
class _Parts:
    """A mean over classes, the sum of their influences (N,), and of each class its samples and if it has no errors."""

    value: float
    influence: NDArray[np.float64]
    sizes: NDArray[np.int64]
    exact: NDArray[np.bool_]

    def interval(self, fewest: int, **how: Any) -> Estimate:
        """By `intervals.by_influence`, where each class shows its variance, or has as many samples as one that does."""
        if not np.isnan(self.value) and self.sizes.min() < fewest:
            return without(self.value, f"only {plural(int(self.sizes.min()), 'sample')} of a class")
        known, unknown = self.sizes[~self.exact], self.sizes[self.exact]
        if len(known) and len(unknown) and unknown.min() < known.min() / _AS_MANY:
            return without(self.value, "a rarer class has no errors")
        return by_influence(
            self.value, self.influence / max(len(self.sizes), 1), SHARE, sizes=self.sizes, skewed=True, **how
        )
