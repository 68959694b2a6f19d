"""AUROC and average precision, one class against the rest, and what each sample contributes to them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.intervals import SHARE, by_influence, without
from leyden.metrics.results import Estimate

FEWEST, FEWEST_PRECISION = 3, 10  # samples of a class; average precision of few is biased


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
    positive that ranks as low or lower.
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


def intervals(classes: Iterable[Ranked], n: int) -> tuple[Estimate, Estimate]:
    """Mean AUROC and mean average precision of classes of n samples, with their intervals; see `influences`.

    What a sample contributes is added over the classes, so that their covariances are in the variance. There is no
    interval where a class that counts has too few samples for a variance of its own.
    """
    found, counts, influence = [], [], np.zeros((2, n))
    for ranked in classes:
        hits = len(ranked.positives)
        found.append(areas(ranked))
        counts.append((hits, n - hits))
        if min(counts[-1]) > 1:
            influence += influences(ranked)
    values, sizes = means(np.reshape(found, (-1, 2))), np.reshape(counts, (-1, 2))
    rarer, positives = sizes.min(1), sizes[:, 0]
    auroc = _interval(values[0], influence[0], rarer[rarer > 0], FEWEST, "DeLong")
    return auroc, _interval(values[1], influence[1], positives[positives > 0], FEWEST_PRECISION, "jackknife")


def _interval(
    value: float, influence: NDArray[np.float64], sizes: NDArray[np.int64], fewest: int, name: str
) -> Estimate:
    if not np.isnan(value) and sizes.min() < fewest:
        return without(value, f"only {sizes.min()} samples of a class")
    share = influence / max(len(sizes), 1)
    return by_influence(value, share, SHARE, sizes=sizes, skewed=name == "DeLong", name=name)
