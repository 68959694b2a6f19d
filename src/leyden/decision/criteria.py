"""Criteria that decisions maximise, each a sum of one term per class.

A term depends on its class alone: the (weighted) samples of the class that are predicted correctly, and all that are
predicted as it. So if the prediction of one sample changes, two terms change, and no others.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# hits, predicted, classes: each (...) -> terms (...); -inf: not to be chosen
Terms = Callable[[Floats, Floats, Ints], Floats]
Criterion = Callable[[Floats], Terms]  # from the weight (C,) of each class's samples

_ROUNDING = 1e-12


def accuracy(support: Floats) -> Terms:
    """Share of the weight that is answered rightly."""
    total = support.sum()
    return lambda hits, predicted, classes: hits / total


def balanced_accuracy(support: Floats) -> Terms:
    """Mean recall of the classes that have samples."""
    scale = np.where(support > 0, 1 / np.maximum(support, np.finfo(float).tiny), 0.0) / (support > 0).sum()
    return lambda hits, predicted, classes: hits * scale[classes]


def macro_f1(support: Floats) -> Terms:
    """Mean F1 of the classes that have samples."""
    present = support > 0

    def terms(hits: Floats, predicted: Floats, classes: Ints) -> Floats:
        both = np.where(present[classes], support[classes] + predicted, 1.0)
        return np.where(present[classes], 2 * hits / both, 0.0) / present.sum()

    return terms


def precision_at_recall(of: int, at_least: float) -> Criterion:
    """Precision of class `of`, where its recall is at least that; the other classes do not count."""

    def criterion(support: Floats) -> Terms:
        least = at_least * support[of] * (1 - _ROUNDING)

        def terms(hits: Floats, predicted: Floats, classes: Ints) -> Floats:
            allowed = (hits >= least) & (hits > 0) & (predicted > 0)  # sums of nothing may be off by rounding
            value = np.where(allowed, hits / np.where(allowed, predicted, 1.0), -np.inf)
            return np.where(classes == of, value, 0.0)

        return terms

    return criterion


def sums(classes_of: Ints, weights: Floats, classes: int) -> Floats:
    """The weight (C,) of each class, of samples (N,)."""
    return np.bincount(classes_of, weights=weights, minlength=classes).astype(np.float64)


def value(criterion: Criterion, answers: Ints, labels: Ints, weights: Floats, classes: int) -> float:
    """The criterion of answers (N,) to labels (N,), samples counting weights (N,); -inf: not reached."""
    right = answers == labels
    hits = sums(labels[right], weights[right], classes)
    terms = criterion(sums(labels, weights, classes))
    return float(terms(hits, sums(answers, weights, classes), np.arange(classes)).sum())
