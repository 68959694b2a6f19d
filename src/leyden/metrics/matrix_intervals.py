"""Intervals of the metrics of a confusion matrix, from its cells alone.

A class of few samples that are all right, or all wrong, passes for one without variance. So variances are those of a
matrix with one more sample (mean recall) or half a one (F1, MCC) of each class, right with the probability of `_usual`.
"""

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.confusion import Cells, Counts
from leyden.metrics.intervals import CORRELATION, SHARE, by_influence, newcombe, wilson, without
from leyden.metrics.results import Estimate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ADDED = 0.5  # samples of each class
_MOST_BIAS = 0.3  # of macro F1, in standard errors


def _usual(hits: NDArray, support: NDArray) -> float:
    """Mean recall of classes (K,), kept from 0 and 1 by one sample of either."""
    return float((np.sum(hits / support) + 1) / (len(hits) + 2))


def mean_recall(counts: Counts, among: Bools | bool = True) -> Estimate:
    """Mean recall of the classes with samples, of those `among` (C,): of one Wilson's, of two Newcombe's."""
    there = (counts.support > 0) & among
    hits, support = counts.hits[there], counts.support[there]
    classes = len(hits)
    if classes < 3:
        return newcombe(hits, support) if classes == 2 else wilson(int(hits.sum()), int(support.sum()))
    recall = (hits + _usual(hits, support)) / (support + 1)
    influence = np.concatenate([1 - recall, -recall]) / np.tile(support * classes, 2)
    times = np.concatenate([recall, 1 - recall]) * np.tile(support, 2)
    value = float(np.mean(hits / support))
    return by_influence(value, influence, SHARE, counts=times, sizes=support, of_counts=True)


def f1_influences(counts: Counts) -> tuple[Floats, Floats]:
    """Influence on macro F1 of a hit of each class (C,), and of a miss: of its label, and of its prediction."""
    there = counts.support > 0
    usual = _usual(counts.hits[there], counts.support[there]) if there.any() else 0.0
    # F = 2 h / d with d = support + predictions; a hit adds 2 and 2, a miss 0 and 1
    size = counts.support + counts.predicted + _ADDED * (1 + usual)
    f1 = 2 * (counts.hits + _ADDED * usual) / size
    each = there / size / max(int(there.sum()), 1)
    return 2 * (1 - f1) * each, -f1 * each


def macro_f1(counts: Counts, influence: Floats, times: NDArray | float = 1.0) -> Estimate:
    """Mean F1 of the classes present, from the influences (m,) of samples by `f1_influences`, `times` (m,) each.

    F1 is concave in the share of hits among label and prediction, which is unbiased: of few samples it is too low on
    average. The interval is about the value without this bias (to the second order); there is none where it is large.
    """
    value, there = float(counts.macro_f1()), counts.support > 0
    if np.isnan(value):
        return Estimate(None)
    hits, support = counts.hits[there], counts.support[there]
    either = support + counts.predicted[there] - hits
    j = hits / either
    bias = -float(np.mean(2 * j * (1 - j) / ((1 + j) ** 3 * either)))
    hit, miss = (part[there] for part in f1_influences(counts))
    usual = _usual(hits, support)
    added = np.repeat([_ADDED * usual, _ADDED * (1 - usual)], len(hits))
    parts = np.concatenate([influence, hit, miss])
    weights = np.concatenate([np.broadcast_to(times, influence.shape), added])
    if -bias > _MOST_BIAS * np.sqrt(weights @ parts**2):
        return without(value, "too few samples of each class")
    return by_influence(value, parts, SHARE, counts=weights, sizes=support, bias=bias, of_counts=True)


def of_cells(cells: Cells, counts: Counts) -> dict[str, Estimate]:
    """Balanced accuracy, macro F1 and MCC; without intervals where one class is predicted: of other answers, which
    such a net may give to other samples, nothing is known.
    """
    if np.count_nonzero(counts.predicted) == 1 < np.count_nonzero(counts.support):
        values = counts.values()
        return {
            name: without(float(values[name]), "one class is predicted")
            for name in ("balanced_accuracy", "macro_f1", "mcc")
        }
    hit, miss = f1_influences(counts)
    right = cells.rows == cells.columns
    influence = np.where(right, hit[cells.rows], miss[cells.rows] + miss[cells.columns])
    return {
        "balanced_accuracy": mean_recall(counts),
        "macro_f1": macro_f1(counts, influence, cells.counts),
        "mcc": _mcc(cells, counts),
    }


def _mcc(cells: Cells, counts: Counts) -> Estimate:
    value, there = float(counts.mcc()), counts.support > 0
    if np.isnan(value):
        return Estimate(None)
    classes, usual = int(there.sum()), _usual(counts.hits[there], counts.support[there])
    support, predicted = (part + _ADDED * there for part in (counts.support, counts.predicted))
    n, hits = support.sum(), counts.hits.sum() + _ADDED * usual * classes
    # R_K as in Counts.mcc, and its derivative by the count of a cell (i, j)
    of_labels, of_predictions = n**2 - (support**2).sum(), n**2 - (predicted**2).sum()
    size = np.sqrt(of_labels * of_predictions)
    mcc = (n * hits - (support * predicted).sum()) / size

    def influence(right: NDArray, own: tuple[Floats, Floats], called: tuple[Floats, Floats]) -> Floats:
        """own, called: (support, predicted) of the true class and of the predicted one."""
        covariance = hits + n * right - own[1] - called[0]
        found: Floats = covariance / size - mcc * (
            (n - own[0]) / of_labels + (n - called[1]) / of_predictions
        )
        return found

    parts = np.stack([support, predicted])
    own = parts[:, there]
    others = (own.sum(1, keepdims=True) - own) / (classes - 1)  # mean of the other classes
    influences = np.concatenate(
        [
            influence(cells.rows == cells.columns, (*parts[:, cells.rows],), (*parts[:, cells.columns],)),
            influence(np.ones(classes), (*own,), (*own,)),
            influence(np.zeros(classes), (*own,), (*others,)),
        ]
    )
    added = np.repeat([_ADDED * usual, _ADDED * (1 - usual)], classes)
    times = np.concatenate([cells.counts, added])
    sizes = counts.support[there]
    return by_influence(value, influences, CORRELATION, counts=times, sizes=sizes, of_counts=True)
