"""AUROC and average precision, one class against the rest, with a weight for each sample.

A class is sorted once; a resample is then a weight per sample and costs a gather and two cumulative sums.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranked:
    """The samples of one class against the rest, in descending order of score.

    order: (N,) samples. For each of the P positives, in that order: `positives`, its sample; `above` and
    `until`, where its group of tied scores starts and ends among the N; `first` and `last`, the same
    among the P. A group's end is the place after its last member.
    """

    order: NDArray[np.int64]
    positives: NDArray[np.int64]
    above: NDArray[np.int64]
    until: NDArray[np.int64]
    first: NDArray[np.int32]
    last: NDArray[np.int32]


def _running(weights: NDArray) -> NDArray[np.int32]:
    """Cumulative sums with a leading 0; int32 holds them exactly up to 2 billion samples, and is fastest."""
    out = np.zeros(len(weights) + 1, dtype=np.int32)
    np.cumsum(weights, dtype=np.int32, out=out[1:])
    return out


def rank(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Ranked:
    """Sort one class: scores (N,), positive (N,)."""
    falling = -scores
    order = np.argsort(falling)
    everyone, hits = falling[order], positive[order]
    mine = everyone[hits]
    above = np.searchsorted(everyone, mine, side="left")
    until = np.searchsorted(everyone, mine, side="right")
    seen = _running(hits)  # positives before each place
    return Ranked(order, order[hits], above, until, first=seen[above], last=seen[until])


def areas(ranked: Ranked, weights: NDArray[np.integer]) -> tuple[float, float]:
    """(AUROC, average precision) where sample i counts weights[i] times; NaN where undefined.

    AUROC is the probability that a positive outranks a negative, ties counting one half (Mann and Whitney
    1947); it needs both. Average precision is the mean over the positives of the precision at their score,
    without interpolation; it needs a positive.
    """
    total, hits = _running(weights[ranked.order]), _running(weights[ranked.positives])
    positives, negatives = int(hits[-1]), int(total[-1]) - int(hits[-1])
    if not positives:
        return np.nan, np.nan
    counts = weights[ranked.positives].astype(np.float64)
    called, true = total[ranked.until], hits[ranked.last]
    precision = true / np.maximum(called, 1)  # called is 0 only where the positive itself counts 0
    average_precision = float(counts @ precision) / positives
    if not negatives:
        return np.nan, average_precision
    not_below = (called - true) + (total[ranked.above] - hits[ranked.first]).astype(np.float64)
    lost = float(counts @ not_below) / 2
    return 1 - lost / positives / negatives, average_precision


def one_vs_rest(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Ranked]:
    """Each class of (C, N) ranked against the rest; of two classes class 1 alone."""
    classes = range(1, 2) if len(probabilities) == 2 else range(len(probabilities))
    return [rank(probabilities[c], labels == c) for c in classes]
