"""Decision offsets that maximise a criterion on given samples: coordinate ascent, exact along each class.

Raising the offset of class k turns predictions into k, one sample after another, in the order of margin = log p_k - max
over the others of (log p_j + d_j). So one sort sees every possible outcome of that class's offset, and sums along it
say how good each is: O(N log N). With two classes this is the optimum over all thresholds; with more it is coordinate
ascent, repeated until nothing improves. Offsets move only for a gain on these samples, and no further than it takes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.decision.criteria import Criterion, Floats, Ints, Terms, sums, value

_PASSES = 20  # over all classes; two or three are the rule
_GAIN = 1e-9  # less is rounding
_TIED = 1e-9  # margins that differ by less: an offset between them would be rounded away


def best_offsets(
    log_p: Floats,
    labels: Ints,
    weights: Floats,
    criterion: Criterion,
    moving: Sequence[int],
    starts: Sequence[Floats],
) -> Floats:
    """Offsets (C,) for log p (N, C) and labels (N,), samples counting weights (N,): never worse than any start.

    Args:
        log_p: (N, C), C > 1.
        labels: (N,).
        weights: (N,).
        criterion: to be maximised.
        moving: the classes whose offsets may change.
        starts: offsets to begin at: the first of the best.
    """
    classes = log_p.shape[1]
    values = [value(criterion, (log_p + d).argmax(1), labels, weights, classes) for d in starts]
    at = next(i for i, found in enumerate(values) if found >= max(values) - _GAIN)
    best, offsets = values[at], np.array(starts[at])
    ranked = _Ranked(log_p + offsets)
    terms = criterion(sums(labels, weights, classes))
    for _ in range(_PASSES):
        before = best
        for k in moving:
            change, promised = _along(ranked, k, labels, weights, terms)
            if not promised > best + _GAIN:
                continue
            ranked.put(k, log_p[:, k] + (offsets[k] + change))
            found = value(criterion, ranked.first, labels, weights, classes)
            if found > best + _GAIN:
                best, offsets[k] = found, offsets[k] + change
            else:  # margins so close that rounding decides otherwise
                ranked.put(k, log_p[:, k] + offsets[k])
        if len(moving) == 1 or not best > before + _GAIN:
            break
    return offsets


class _Ranked:
    """Scores (N, C) with the first and the second class of each row, kept up to date where a column moves."""

    def __init__(self, scores: Floats) -> None:
        self.scores = scores
        self.first, self.second = (np.empty(len(scores), dtype=np.int64) for _ in range(2))
        self._rows = np.arange(len(scores))
        self._rank(self._rows)

    def _rank(self, rows: Ints) -> None:
        scores, at = self.scores[rows], np.arange(len(rows))
        self.first[rows] = first = scores.argmax(1)
        scores[at, first] = -np.inf
        self.second[rows] = scores.argmax(1)

    def margins(self, k: int) -> tuple[Ints, Floats]:
        """Of each row the best class but k, and how far k is above it: each (N,)."""
        rival = np.where(self.first == k, self.second, self.first)
        return rival, self.scores[:, k] - self.scores[self._rows, rival]

    def put(self, k: int, column: Floats) -> None:
        """Replace column k (N,)."""
        self.scores[:, k] = column
        own = (self.first == k) | (self.second == k)
        risen = self.scores[:, k] >= self.scores[self._rows, self.second]
        self._rank(np.flatnonzero(own | risen))


def _along(ranked: _Ranked, k: int, labels: Ints, weights: Floats, terms: Terms) -> tuple[float, float]:
    """(change of class k's offset, the criterion's value then); of equally good changes the least.

    After j places of the falling order of margins, j = 0 .. N, j samples are answered k and the rest by their rivals.
    """
    rivals, margin = ranked.margins(k)
    order = np.argsort(-margin, kind="stable")
    margin, weight, rival, label = margin[order], weights[order], rivals[order], labels[order]
    won, answered = _running(weight * (label == k)), _running(weight)
    values = terms(won, answered, np.full(len(won), k)) + _others(
        rival, weight, weight * (label == rival), terms
    )
    thresholds = np.concatenate([[margin[0] + 1], (margin[1:] + margin[:-1]) / 2, [margin[-1] - 1]])
    thresholds[np.searchsorted(-margin, 0.0)] = 0.0  # as it is now
    apart = np.concatenate([[True], margin[1:] < margin[:-1] - _TIED, [True]])  # tied samples move together
    values = np.where(apart, values, -np.inf)
    good = np.flatnonzero(values >= values.max() - _GAIN)
    chosen = good[np.abs(thresholds[good]).argmin()]
    return -float(thresholds[chosen]), float(values[chosen])


def _others(rival: Ints, weight: Floats, right: Floats, terms: Terms) -> Floats:
    """Sum (N + 1,) of the terms of the other classes, which lose their samples one after another."""
    by = np.argsort(rival, kind="stable")
    group, starts, sizes = np.unique(rival[by], return_index=True, return_counts=True)

    def left(amount: Floats) -> Floats:
        """What each sample's rival has before it leaves."""
        running = _running(amount[by])
        return np.repeat(running[starts + sizes], sizes) - running[:-1]

    predicted, hits, classes = left(weight), left(right), rival[by]
    change = np.empty(len(rival))
    after = terms(np.maximum(hits - right[by], 0), np.maximum(predicted - weight[by], 0), classes)
    change[by] = after - terms(hits, predicted, classes)
    return float(terms(hits[starts], predicted[starts], group).sum()) + _running(change)


def _running(amounts: NDArray) -> Floats:
    """Cumulative sums (N + 1,) with a leading 0."""
    return np.concatenate([[0.0], np.cumsum(amounts)])
