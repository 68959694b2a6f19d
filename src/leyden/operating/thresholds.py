"""Decision offsets that serve an aim best on given samples: exact along each class, class after class.

Raising the offset of class k turns answers into k, one sample after another, in the order of margin = log p_k - max
over the others of (log p_j + d_j). So one sort looks at every possible outcome of that class's offset. With two classes
this is the optimum over all thresholds; with more it is coordinate ascent, repeated until nothing improves.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.counts import Counts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Aim = Callable[[Counts], Floats]  # the value (K,) of K confusions, to be maximised; NaN: not to be chosen

_PASSES = 20  # over all classes; two or three are the rule
_MOST = 2000  # thresholds looked at for a class: of more samples, as many quantiles
_GAIN = 1e-9  # less is rounding


def best_offsets(log_p: Floats, labels: Ints, aim: Aim, moving: Sequence[int]) -> Floats:
    """Offsets (C,) for log p (N, C) and labels (N,): all 0 unless others are better.

    moving: the classes whose offsets may change.
    """
    offsets = np.zeros(log_p.shape[1])
    best = float(aim(margins(log_p.argmax(1), labels, len(offsets)))[0])
    for _ in range(_PASSES):
        before = best
        for k in moving:
            change, value = _along(log_p + offsets, k, labels, aim)
            if value > best + _GAIN or (np.isnan(best) and not np.isnan(value)):
                offsets[k] += change
                best = value
        if len(moving) == 1 or not best > before + _GAIN:
            break
    return offsets


def margins(answers: Ints, labels: Ints, classes: int) -> Counts:
    """Of the confusion of answers (N,) with labels (N,), as a stack of one: each (1, C)."""
    columns = (labels[answers == labels], labels, answers)
    return Counts(*(np.bincount(column, minlength=classes)[None] for column in columns))


def _along(scores: Floats, k: int, labels: Ints, aim: Aim) -> tuple[float, float]:
    """(change of class k's offset, the aim's value then); of equally good changes the least."""
    classes = scores.shape[1]
    others = scores.copy()
    others[:, k] = -np.inf
    rival = others.argmax(1)
    margin = scores[:, k] - others.max(1)
    thresholds = _candidates(margin)
    below = np.searchsorted(thresholds, margin)  # so many thresholds are passed: under those the answer is k
    bins = len(thresholds) + 1

    def passed(chosen: NDArray[np.bool_]) -> Ints:
        """(K,): how many of the chosen samples pass each threshold."""
        return np.bincount(below[chosen], minlength=bins)[::-1].cumsum()[::-1][1:]

    hits = np.empty((len(thresholds), classes), dtype=np.int64)
    predicted = np.empty_like(hits)
    for c in range(classes):
        own = np.full(len(labels), True) if c == k else rival == c
        right = own & (labels == c)
        hits[:, c] = passed(right) if c == k else right.sum() - passed(right)
        predicted[:, c] = passed(own) if c == k else own.sum() - passed(own)
    values = aim(Counts(hits, np.bincount(labels, minlength=classes)[None], predicted))
    if np.isnan(values).all():
        return 0.0, np.nan
    good = np.flatnonzero(values >= np.nanmax(values) - _GAIN)
    chosen = good[np.abs(thresholds[good]).argmin()]
    return -float(thresholds[chosen]), float(values[chosen])


def _candidates(margin: Floats) -> Floats:
    """Thresholds, ascending: half-way between neighbouring margins, outside of all, and none (0)."""
    values = np.unique(margin)
    if len(values) > _MOST:
        values = np.unique(np.quantile(values, np.linspace(0, 1, _MOST)))
    between = (values[1:] + values[:-1]) / 2
    return np.unique(np.concatenate([[values[0] - 1], between, [values[-1] + 1], [0.0]]))
