"""The metrics that depend on the confusion matrix alone, for one matrix or many resamples of it.

NaN stands for undefined here; it becomes None before it leaves `leyden.metrics`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """The m cells of a confusion matrix (C, C) that are not empty, row by row: no more than there are samples.

    rows, columns, counts: int64 (m,), the true class, the predicted class, how many samples; classes: C.
    """

    rows: Ints
    columns: Ints
    counts: Ints
    classes: int

    @classmethod
    def of(cls, labels: Ints, predicted: Ints, classes: int) -> "Cells":
        """Of labels (N,) and predicted classes (N,)."""
        # cell (label, predicted) has the number label * C + predicted
        numbers, counts = np.unique(labels * classes + predicted, return_counts=True)
        rows, columns = np.divmod(numbers, classes)
        return cls(rows, columns, counts, classes)

    def matrix(self) -> Ints:
        """int64 (C, C): rows are the true classes, columns the predicted ones."""
        dense = np.zeros((self.classes, self.classes), dtype=np.int64)
        dense[self.rows, self.columns] = self.counts
        return dense

    def worst(self, most: int) -> "Cells":
        """The confusions alone, the most frequent first, at most so many."""
        wrong = np.flatnonzero(self.rows != self.columns)
        chosen = wrong[np.argsort(-self.counts[wrong], kind="stable")][:most]
        return Cells(self.rows[chosen], self.columns[chosen], self.counts[chosen], self.classes)


def divide(top: NDArray, bottom: NDArray) -> Floats:
    """top / bottom, NaN where bottom is 0."""
    out = np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), np.nan)
    return np.divide(top, bottom, out=out, where=np.asarray(bottom) != 0)


@dataclass(frozen=True)
class Counts:
    """Margins and diagonal of confusion matrices: each (..., C); leading axes are resamples."""

    hits: NDArray
    support: NDArray
    predicted: NDArray

    @classmethod
    def of(cls, cells: Cells) -> "Counts":
        """Of one matrix."""
        right = cells.rows == cells.columns

        def sums(keys: Ints, counts: Ints) -> Ints:
            return np.bincount(keys, counts, cells.classes).astype(np.int64)

        hits = sums(cells.rows[right], cells.counts[right])
        return cls(hits, sums(cells.rows, cells.counts), sums(cells.columns, cells.counts))

    def accuracy(self) -> Floats:
        """Share of hits (...)."""
        return divide(self.hits.sum(-1), self.support.sum(-1))

    def recall(self) -> Floats:
        """(..., C): NaN for a class without samples."""
        return divide(self.hits, self.support)

    def precision(self) -> Floats:
        """(..., C): NaN for a class that is never predicted."""
        return divide(self.hits, self.predicted)

    def f1(self) -> Floats:
        """(..., C): 2 hits / (support + predicted), NaN where both are 0."""
        return divide(2 * self.hits, self.support + self.predicted)

    def _over_present(self, per_class: Floats, among: NDArray[np.bool_] | bool = True) -> Floats:
        present = (self.support > 0) & among
        return divide(np.where(present, per_class, 0.0).sum(-1), present.sum(-1))

    def balanced_accuracy(self, among: NDArray[np.bool_] | bool = True) -> Floats:
        """Mean recall (...) over the classes present (Brodersen et al. 2010), of those `among` (C,)."""
        return self._over_present(self.recall(), among)

    def macro_f1(self) -> Floats:
        """Mean of the classes' F1 (...) over the classes present."""
        return self._over_present(self.f1())

    def mcc(self) -> Floats:
        """Matthews' coefficient (...) for C classes, R_K (Gorodkin 2004).

        0 where every prediction is the same class, as is the convention; NaN where every label is.
        """
        n = self.support.sum(-1, dtype=np.float64)
        support, predicted = self.support.astype(np.float64), self.predicted.astype(np.float64)
        # R_K = (n h - sum_k s_k p_k) / sqrt((n^2 - sum_k s_k^2) (n^2 - sum_k p_k^2)), (...)
        # with h hits in all, s_k samples of class k, p_k answers k
        covariance = n * self.hits.sum(-1) - (support * predicted).sum(-1)
        of_labels = n**2 - (support**2).sum(-1)
        of_predictions = n**2 - (predicted**2).sum(-1)
        value = divide(covariance, np.sqrt(of_labels * of_predictions))
        return np.where((of_labels > 0) & (of_predictions == 0), 0.0, value)

    def values(self) -> dict[str, Floats]:
        """Every metric of this module that is one number, by its name in METRICS."""
        return {
            "accuracy": self.accuracy(),
            "balanced_accuracy": self.balanced_accuracy(),
            "macro_f1": self.macro_f1(),
            "mcc": self.mcc(),
        }
