"""Logits and label sets -> every number of a multi-label evaluation, with its 95 % interval; NumPy only.

evaluate_multilabel(logits, targets, label_names).values["average_precision"]    # Estimate(value, low, high, method)

A label is a decision of its own, yes or no. The labels of one sample are not independent of each other, so what they
contribute is added for each sample before its variance is taken.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leyden.metrics import calibration, matrix_intervals, ranking
from leyden.metrics.confusion import Counts, divide
from leyden.metrics.intervals import SHARE, by_influence, f1, mean_loss, number, wilson, without
from leyden.metrics.results import MULTILABEL_METRICS, Estimate, LabelMetrics, MultilabelMetrics
from leyden.utils.text import plural

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def evaluate_multilabel(
    logits: ArrayLike,
    targets: ArrayLike,
    label_names: Sequence[str],
    *,
    decisions: NDArray[np.bool_] | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> MultilabelMetrics:
    """Every metric of one split. logits: (N, L), finite; targets: (N, L), 1 where a sample has the label, else 0.

    A label is predicted where its logit is above 0, or where decisions (N, L) say so. Log loss (binary cross-entropy),
    AUROC and average precision do not depend on the decisions; they are the mean over labels, save
    average_precision_micro, which ranks the decisions of all labels together. macro_f1 is the mean over labels,
    micro_f1 that of all decisions together, sample_f1 the mean over samples (1 for one without labels of which none is
    predicted). subset_accuracy: the share of samples all of whose labels are right; hamming_loss: the share of
    decisions that are wrong; ece: of all decisions, each with the probability of what was decided.

    Averages over labels are over those that they are defined for: macro F1 and average precision over the labels with
    positives, AUROC over those with negatives, too. What is undefined is None.

    Intervals are 95 %, over samples, by the methods of docs/result.md; `seed` is that of the noise drawn for ECE. With
    `intervals=False` (each validation epoch) there are Wilson's of the labels alone.

    Raises ValueError for shapes that do not fit, no samples or labels, targets other than 0 and 1, and logits that are
    not finite: a metric must not hide those.
    """
    scores, truth, answers = _checked(logits, targets, len(label_names), decisions)
    split = _Split(scores, truth, answers)
    if intervals:
        return MultilabelMetrics(
            split.n, split.intervals(np.random.default_rng(seed)), _per_label(split, label_names, True)
        )
    points = {name: Estimate(number(value)) for name, value in split.values().items()}
    return MultilabelMetrics(split.n, points, _per_label(split, label_names, False))


def _checked(
    logits: ArrayLike, targets: ArrayLike, labels: int, decisions: NDArray[np.bool_] | None
) -> tuple[Floats, Bools, Bools]:
    """Logits float64, targets and decisions bool, each (N, L); or ValueError."""
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    if scores.ndim != 2 or scores.shape[1] != labels or truth.shape != scores.shape:
        raise ValueError(
            f"expected logits and targets (N, {labels}) for {labels} label_names, got {scores.shape} and {truth.shape}"
        )
    if not scores.size:
        raise ValueError(f"nothing to evaluate: there are {scores.shape[0]} samples and {labels} labels")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        raise ValueError(f"non-finite logits in {bad} of {len(scores)} samples")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("targets must be 0 or 1, one for each sample and label")
    answers = scores > 0 if decisions is None else np.asarray(decisions)
    if answers.shape != scores.shape or answers.dtype != np.bool_:
        raise ValueError(f"expected decisions: bool {scores.shape}, got {answers.dtype} {answers.shape}")
    return scores, truth.astype(np.bool_), answers


class _Split:
    """What the metrics of one evaluation share: scores float (N, L), truth and answers bool (N, L)."""

    def __init__(self, scores: Floats, truth: Bools, answers: Bools) -> None:
        self.n, self.labels = scores.shape
        self.truth, self.answers = truth, answers
        self.counts = Counts((truth & answers).sum(0), truth.sum(0), answers.sum(0))
        self.ranked = [ranking.rank(scores[:, label], truth[:, label]) for label in range(self.labels)]
        self._pooled = ranking.rank(scores.ravel(), truth.ravel())
        self._terms = _sample_terms(scores, truth, answers)
        log_odds = np.where(answers, scores, -scores)  # of what was decided
        confidence = np.exp(-np.logaddexp(0, -log_odds))
        self._gaps = _sample_gaps(confidence, truth == answers)
        self._in_bins = np.bincount(calibration.bins_of(confidence).ravel(), minlength=calibration.BINS)

    def values(self) -> dict[str, float]:
        """By name, in the order of MULTILABEL_METRICS; NaN where undefined."""
        auroc, average_precision = ranking.means(np.array([ranking.areas(r) for r in self.ranked]))
        found = {
            "average_precision": average_precision,
            "average_precision_micro": ranking.areas(self._pooled)[1],
            "auroc": auroc,
            "macro_f1": float(self.counts.macro_f1()),
            "micro_f1": self._micro_f1(),
            **{name: float(terms.mean()) for name, terms in self._terms.items()},
            "ece": calibration.error(self._gaps.sum(0), self.n * self.labels),
        }
        return {name: found[name] for name in MULTILABEL_METRICS}

    def _micro_f1(self) -> float:
        counts = self.counts
        return float(divide(2 * counts.hits.sum(), counts.support.sum() + counts.predicted.sum()))

    def intervals(self, rng: np.random.Generator) -> dict[str, Estimate]:
        """By name, in the order of MULTILABEL_METRICS. A sample counts as one, whatever its labels have in common."""
        auroc, average_precision = ranking.intervals(self.ranked, self.n)
        errors = self.n - int(self._terms["subset_accuracy"].sum())
        found = {
            "average_precision": average_precision,
            "average_precision_micro": self._pooled_interval(),
            "auroc": auroc,
            "macro_f1": self._macro_f1_interval(),
            "micro_f1": self._micro_f1_interval(),
            "sample_f1": self._mean("sample_f1"),
            "subset_accuracy": wilson(self.n - errors, self.n),
            "hamming_loss": self._mean("hamming_loss"),
            "log_loss": mean_loss(self._terms["log_loss"], errors),
            "ece": calibration.interval(
                self._gaps.sum(0), self._gaps.T @ self._gaps, self._in_bins, errors, self.n, rng
            ),
        }
        return {name: found[name] for name in MULTILABEL_METRICS}

    def _mean(self, name: str) -> Estimate:
        terms = self._terms[name]
        value = float(terms.mean())
        return by_influence(value, (terms - value) / self.n, SHARE, sizes=np.array([self.n]))

    def _pooled_interval(self) -> Estimate:
        value, positives = ranking.areas(self._pooled)[1], int(self.truth.sum())
        if min(positives, self.truth.size - positives) < 2:
            return without(value, f"only {plural(positives, 'positive')}")
        influence = ranking.influences(self._pooled)[1].reshape(self.n, self.labels).sum(1)
        return by_influence(value, influence, SHARE, sizes=np.array([self.truth.any(1).sum()]), skewed=True)

    def _macro_f1_interval(self) -> Estimate:
        hit, miss = matrix_intervals.f1_influences(self.counts)
        return matrix_intervals.macro_f1(
            self.counts, (self.truth & self.answers) @ hit + (self.truth ^ self.answers) @ miss
        )

    def _micro_f1_interval(self) -> Estimate:
        value = self._micro_f1()
        hits, sizes = (self.truth & self.answers).sum(1), self.truth.sum(1) + self.answers.sum(1)
        influence = (2 * hits - value * sizes) / max(int(sizes.sum()), 1)
        return by_influence(value, influence, SHARE, sizes=np.array([np.count_nonzero(sizes)]))


def _sample_terms(scores: Floats, truth: Bools, answers: Bools) -> dict[str, Floats]:
    """The metrics that are means over samples: of each sample (N,)."""
    either = truth.sum(1) + answers.sum(1)
    return {
        "sample_f1": np.where(either == 0, 1.0, 2 * (truth & answers).sum(1) / np.maximum(either, 1)),
        "subset_accuracy": (truth == answers).all(1).astype(np.float64),
        "hamming_loss": (truth != answers).mean(1),
        "log_loss": np.logaddexp(0, np.where(truth, -scores, scores)).mean(1),
    }


def _sample_gaps(confidence: Floats, right: Bools) -> Floats:
    """`calibration.binned_gaps` of the decisions (N, L) of each sample alone: (N, BINS)."""
    places = calibration.bins_of(confidence) + calibration.BINS * np.arange(len(confidence))[:, None]
    gaps = np.bincount(places.ravel(), (confidence - right).ravel(), calibration.BINS * len(confidence))
    return gaps.reshape(len(confidence), calibration.BINS).astype(np.float64)


def _per_label(split: _Split, label_names: Sequence[str], intervals: bool) -> list[LabelMetrics]:
    counts = split.counts
    parts = zip(label_names, counts.hits, counts.support, counts.predicted, split.ranked, strict=True)
    rows = ((str(name), int(hits), int(n), int(called), ranked) for name, hits, n, called, ranked in parts)
    return [
        LabelMetrics(
            name,
            n,
            wilson(hits, called),
            wilson(hits, n),
            f1(hits, n + called - hits),
            ranking.intervals([ranked], split.n)[1]
            if intervals
            else Estimate(number(ranking.areas(ranked)[1])),
        )
        for name, hits, n, called, ranked in rows
    ]
