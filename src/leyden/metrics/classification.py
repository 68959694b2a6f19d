"""Logits and labels -> every number of an evaluation, with its 95 % interval.

    evaluate(logits, labels, class_names).values["macro_f1"]    # Estimate(value, low, high, method)

What depends on the confusion matrix alone stands in `counts`, what needs the scores' order in `ranking`,
what needs the confidence in `calibration`; `intervals` says how sure they are; `results` is what goes into
result.json. Arithmetic is NumPy's, in float64; nothing here imports torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leyden.metrics import calibration, confusion, matrix_intervals, ranking
from leyden.metrics.intervals import f1, mean_loss, number, wilson
from leyden.metrics.probabilities import log_normalisers
from leyden.metrics.results import (
    METRICS,
    MOST_IN_MATRIX,
    MOST_ROWS,
    ClassMetrics,
    Confusion,
    Estimate,
    Group,
    Metrics,
    higher_is_better,
)

__all__ = ["METRICS", "ClassMetrics", "Estimate", "Group", "Metrics", "evaluate", "higher_is_better"]

_BY_RANK = ("auroc", "average_precision")
_MANY, _FEW = 100, 20  # training samples, as Liu et al. 2019 (arXiv 1904.05160) group classes


def evaluate(
    logits: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    decisions: NDArray[np.int64] | None = None,
    class_counts: Sequence[int] = (),
    intervals: bool = True,
    seed: int = 0,
) -> Metrics:
    """Every metric of one split. logits: float (N, C); labels: int64 (N,); arrays or tensors on the CPU.

    The answer is the class of the largest logit, the first of them in a tie, or decisions (N,) where an operating
    point has decided; confidence (of ECE) is the probability of the answer, also where another class is more
    probable. Log loss, AUROC and average precision do not depend on the answer. With class_counts (C,), those of
    training, recall is given for the classes with many, a medium number of and few samples, too. Averages over
    classes are over those that they are defined for: balanced accuracy, macro F1 and recall of a group over the
    classes that have samples, AUROC and average precision (one against the rest; for two classes those of class 1)
    over the classes that have positives, and for AUROC negatives. What is undefined is None.

    Intervals are 95 %, by the methods of docs/result.md; `seed` is that of the noise drawn for ECE. With
    `intervals=False` (each validation epoch) there are none but those of the classes' recall and precision,
    which cost nothing.

    Raises ValueError for shapes that do not fit, an empty split, labels or decisions outside 0 .. C - 1, and
    logits that are not finite: a metric must not hide those.
    """
    scores, truth = _checked(logits, labels, len(class_names))
    answers = scores.argmax(axis=1) if decisions is None else _answers(decisions, scores.shape)
    if len(class_counts) not in (0, len(class_names)):
        raise ValueError(f"expected {len(class_names)} class_counts, got {len(class_counts)}")
    split = _Split(scores, truth, answers)
    members = _members(class_counts)
    if intervals:
        estimates = split.intervals(np.random.default_rng(seed))
        groups = {name: matrix_intervals.mean_recall(split.counts, of) for name, of in members.items()}
    else:
        estimates = {name: Estimate(number(value)) for name, value in split.values().items()}
        groups = {name: Estimate(number(r)) for name, r in split.group_recalls(members).items()}
    per_class = _per_class(split, class_names)
    found = {name: Group(int(of.sum()), groups[name]) for name, of in members.items()}
    matrix, pairs = _stored_confusion(split.cells, class_names)
    return Metrics(split.n, estimates, per_class, matrix, found, pairs)


def _stored_confusion(
    cells: confusion.Cells, names: Sequence[str]
) -> tuple[list[list[int]], list[Confusion]]:
    """The whole matrix, or of many classes, where it would be mostly zeros, its most frequent confusions."""
    if cells.classes <= MOST_IN_MATRIX:
        return cells.matrix().tolist(), []
    worst = cells.worst(MOST_ROWS)
    pairs = zip(worst.rows, worst.columns, worst.counts, strict=True)
    return [], [Confusion(str(names[true]), str(names[called]), int(n)) for true, called, n in pairs]


def _members(class_counts: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
    """Which classes (C,) have many, a medium number of, few training samples; groups without classes are left out."""
    n = np.asarray(class_counts)
    groups = {"many": n > _MANY, "medium": (n >= _FEW) & (n <= _MANY), "few": n < _FEW}
    return {name: of for name, of in groups.items() if of.any()}


def _answers(decisions: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """int64 (N,), or ValueError."""
    answers, (n, classes) = np.asarray(decisions), shape
    if answers.shape != (n,) or answers.dtype.kind not in "iu":
        raise ValueError(f"expected decisions: integers ({n},), got {answers.dtype} {answers.shape}")
    if answers.min() < 0 or answers.max() >= classes:
        raise ValueError(f"decisions must lie in 0 .. {classes - 1}, got {answers.min()} .. {answers.max()}")
    return answers.astype(np.int64)


def _checked(logits: ArrayLike, labels: ArrayLike, classes: int) -> tuple[NDArray, NDArray]:
    """float64 (N, C) and int64 (N,) on the CPU, or ValueError."""
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if scores.ndim != 2 or scores.shape[1] != classes or truth.shape != scores.shape[:1]:
        raise ValueError(
            f"expected logits (N, {classes}) and labels (N,), got {scores.shape} and {truth.shape}"
        )
    if not len(truth):
        raise ValueError("no samples to evaluate: the split is empty")
    if truth.min() < 0 or truth.max() >= classes:
        raise ValueError(f"labels must lie in 0 .. {classes - 1}, got {truth.min()} .. {truth.max()}")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        raise ValueError(f"non-finite logits in {bad} of {len(truth)} samples")
    return scores, truth


class _Split:
    """What the metrics of one evaluation share: scores (N, C), labels (N,), answers (N,).

    Beside the scores nothing is held that grows with N * C: probabilities are made for one class or some samples at a
    time.
    """

    def __init__(
        self, scores: NDArray[np.float64], labels: NDArray[np.int64], answers: NDArray[np.int64]
    ) -> None:
        self.n, self.classes = scores.shape
        self._scores, self._labels = scores, labels
        self._largest, self._log_sums = log_normalisers(scores)
        everyone = np.arange(self.n)
        self.losses = -self._log_probabilities(everyone, labels)
        self.confidence = np.exp(self._log_probabilities(everyone, answers))
        self.correct = answers == labels
        self.cells = confusion.Cells.of(labels, answers, self.classes)
        self.counts = confusion.Counts.of(self.cells)
        self.gaps = calibration.binned_gaps(self.confidence, self.correct)

    def _log_probabilities(self, rows: NDArray[np.int64] | slice, classes: Any) -> NDArray[np.float64]:
        """log p of samples and classes, element by element."""
        return np.asarray((self._scores[rows, classes] - self._largest[rows]) - self._log_sums[rows])

    def values(self) -> dict[str, float]:
        """By name, in the order of METRICS; NaN where undefined."""
        areas = np.array([ranking.areas(ranked) for ranked in self.ranked()]).reshape(-1, 2)
        found = {
            **{name: float(value) for name, value in self.counts.values().items()},
            "log_loss": float(self.losses.mean()),
            "ece": calibration.error(self.gaps, self.n),
            **dict(zip(_BY_RANK, ranking.means(areas), strict=True)),
        }
        return {name: found[name] for name in METRICS}

    def ranked(self) -> Iterator[ranking.Ranked]:
        """Each class that has samples against the rest, of two classes class 1 alone."""
        for c in (1,) if self.classes == 2 else np.flatnonzero(self.counts.support):
            yield ranking.rank(np.exp(self._log_probabilities(slice(None), c)), self._labels == c)

    def group_recalls(self, members: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
        """Mean recall of each group of classes; NaN where none of them has samples."""
        return {name: float(self.counts.balanced_accuracy(of)) for name, of in members.items()}

    def intervals(self, rng: np.random.Generator) -> dict[str, Estimate]:
        """By name, in the order of METRICS."""
        products = calibration.moments(self.confidence, self.correct)
        sizes = np.bincount(calibration.bins_of(self.confidence), minlength=calibration.BINS)
        wrong = int((~self.correct).sum())
        found = {
            "accuracy": wilson(self.n - wrong, self.n),
            **matrix_intervals.of_cells(self.cells, self.counts),
            "log_loss": mean_loss(self.losses, wrong),
            "ece": calibration.interval(self.gaps, products, sizes, wrong, self.n, rng),
            **dict(zip(_BY_RANK, ranking.intervals(self.ranked(), self.n), strict=True)),
        }
        return {name: found[name] for name in METRICS}


def _per_class(split: _Split, class_names: Sequence[str]) -> list[ClassMetrics]:
    margins = zip(class_names, split.counts.hits, split.counts.support, split.counts.predicted, strict=True)
    rows = ((str(name), int(hits), int(n), int(called)) for name, hits, n, called in margins)
    return [
        ClassMetrics(name, n, wilson(hits, called), wilson(hits, n), f1(hits, n + called - hits))
        for name, hits, n, called in rows
    ]
