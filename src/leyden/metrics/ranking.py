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
    """Cumulative sums (..., N + 1) with a leading 0; int32 is exact up to 2 billion samples, and is fastest."""
    out = np.zeros((*weights.shape[:-1], weights.shape[-1] + 1), dtype=np.int32)
    np.cumsum(weights, axis=-1, dtype=np.int32, out=out[..., 1:])
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


def areas(ranked: Ranked, weights: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(AUROC, average precision), each (...), where sample i counts weights[..., i] times; NaN where undefined.

    AUROC is the probability that a positive outranks a negative, ties counting one half (Mann and Whitney
    1947); it needs both. Average precision is the mean over the positives of the precision at their score,
    without interpolation; it needs a positive.
    """
    own = weights.take(ranked.positives, -1)
    total, hits = _running(weights.take(ranked.order, -1)), _running(own)
    positives = hits[..., -1].astype(np.float64)
    negatives = total[..., -1] - positives
    # for each positive (..., P): all samples, and the positives, that score as much as it or more
    called, true = total.take(ranked.until, -1), hits.take(ranked.last, -1)
    precision = true / np.maximum(called, 1)  # called is 0 only where the positive itself counts 0
    # negatives at or above it, plus negatives above it: twice the number above, a tie counting one half
    not_below = (called - true) + (total.take(ranked.above, -1) - hits.take(ranked.first, -1)).astype(
        np.float64
    )
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: there is none, and so says NaN
        # sum_i w_i precision_i / sum_i w_i;  1 - AUROC = sum_i w_i (negatives above i) / (positives * negatives)
        average_precision = np.vecdot(own, precision) / positives
        lost = np.vecdot(own, not_below) / 2 / positives / negatives
    return 1 - lost, average_precision


def one_vs_rest(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> list[Ranked]:
    """Each class of (C, N) ranked against the rest; of two classes class 1 alone."""
    classes = range(1, 2) if len(probabilities) == 2 else range(len(probabilities))
    return [rank(probabilities[c], labels == c) for c in classes]
