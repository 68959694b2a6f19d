"""Logits and label sets -> every number of a multi-label evaluation, with its 95 % interval; NumPy only.

evaluate_multilabel(logits, targets, label_names).values["average_precision"]    # Estimate(value, low, high, method)

A label is a decision of its own, yes or no. The labels of one sample are not independent of each other, so intervals
come from resamples of whole samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leyden.metrics import bootstrap, calibration, ranking
from leyden.metrics.confusion import Counts, divide
from leyden.metrics.intervals import number, percentiles, wilson, within
from leyden.metrics.results import MULTILABEL_METRICS, Estimate, LabelMetrics, MultilabelMetrics

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_RANGES = {"log_loss": (0.0, np.inf)}  # the rest lie in 0 .. 1


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

    Intervals are 95 %: Wilson's for subset accuracy and the labels' precision and recall, a seeded bootstrap over
    samples for the rest. With `intervals=False` (each validation epoch) there are Wilson's of the labels alone.

    Raises ValueError for shapes that do not fit, no samples or labels, targets other than 0 and 1, and logits that are
    not finite: a metric must not hide those.
    """
    scores, truth, answers = _checked(logits, targets, len(label_names), decisions)
    split = _Split(scores, truth, answers)
    ones = np.ones((1, split.n), dtype=np.uint8)
    values, by_label = split.metrics(ones)
    points = {name: Estimate(number(float(value[0]))) for name, value in values.items()}
    labels = {name: [Estimate(number(float(v))) for v in value[0]] for name, value in by_label.items()}
    if intervals:
        points, labels = split.intervals(values, by_label, np.random.default_rng(seed))
    ordered = {name: within(points[name], *_RANGES.get(name, (0.0, 1.0))) for name in MULTILABEL_METRICS}
    return MultilabelMetrics(split.n, ordered, _per_label(split, label_names, labels))


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
        self.counts = Counts((truth & answers).sum(0), truth.sum(0), answers.sum(0))
        right = truth == answers
        self.exact = right.all(1)
        self._terms = np.stack([truth & answers, truth, answers]).astype(
            np.float64
        )  # hits and margins (3, N, L)
        self._means = _sample_terms(scores, truth, answers)
        self._ranked = [ranking.rank(scores[:, label], truth[:, label]) for label in range(self.labels)]
        self._pooled = ranking.rank(scores.ravel(), truth.ravel())
        log_odds = np.where(answers, scores, -scores)  # of what was decided
        self._gaps = _sample_gaps(np.exp(-np.logaddexp(0, -log_odds)), right)

    def metrics(self, weights: NDArray[np.uint8]) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """By name each (R,), and of the labels each (R, L), where samples count weights (R, N); NaN where undefined."""
        counts = Counts(*(weights @ terms for terms in self._terms))
        together = Counts(
            *(part.sum(-1, keepdims=True) for part in (counts.hits, counts.support, counts.predicted))
        )
        areas: Floats = np.array([ranking.areas(ranked, weights) for ranked in self._ranked])
        auroc, precision = areas[:, 0].T, areas[:, 1].T
        # one resample at a time: of all labels together there are N * L weights
        pooled = np.array([ranking.areas(self._pooled, np.repeat(w, self.labels))[1] for w in weights])
        means = (weights @ self._means / self.n).T
        values = {
            "average_precision": _mean(precision),
            "average_precision_micro": pooled,
            "auroc": _mean(auroc),
            "macro_f1": counts.macro_f1(),
            "micro_f1": together.f1()[..., 0],
            **dict(zip(("sample_f1", "subset_accuracy", "hamming_loss", "log_loss"), means, strict=True)),
            "ece": calibration.error(weights @ self._gaps, self.n * self.labels),
        }
        return values, {"f1": counts.f1(), "average_precision": precision}

    def intervals(
        self, values: dict[str, Floats], by_label: dict[str, Floats], rng: np.random.Generator
    ) -> tuple[dict[str, Estimate], dict[str, list[Estimate]]]:
        """(estimate by name, estimates of the labels by name) of the values (1,) and (1, L) of the whole split."""
        times = bootstrap.resamples_for(self.n * self.labels)
        blocks = list(bootstrap.sample_weights(self.n, times, rng))
        drawn = [self.metrics(weights) for weights in blocks]
        resampled = {name: np.concatenate([block[0][name] for block in drawn]) for name in values}
        found = {name: percentiles(float(value[0]), resampled[name]) for name, value in values.items()}
        found["subset_accuracy"] = wilson(int(self.exact.sum()), self.n)
        gaps = np.concatenate([weights @ self._gaps for weights in blocks])
        found["ece"] = calibration.interval(self._gaps.sum(0), gaps, self.n * self.labels)
        labels = {}
        for name, value in by_label.items():
            columns = np.concatenate([block[1][name] for block in drawn]).T
            labels[name] = [percentiles(float(v), c) for v, c in zip(value[0], columns, strict=True)]
        return found, labels


def _sample_terms(scores: Floats, truth: Bools, answers: Bools) -> Floats:
    """Of each sample (N, 4): F1 of its label sets, whether all is right, share of wrong decisions, cross-entropy."""
    either = truth.sum(1) + answers.sum(1)
    f1 = np.where(either == 0, 1.0, 2 * (truth & answers).sum(1) / np.maximum(either, 1))
    wrong = (truth != answers).mean(1)
    losses = np.logaddexp(0, np.where(truth, -scores, scores)).mean(1)
    return np.stack([f1, (truth == answers).all(1).astype(np.float64), wrong, losses], axis=1)


def _sample_gaps(confidence: Floats, right: Bools) -> Floats:
    """`calibration.binned_gaps` of the decisions (N, L) of each sample alone: (N, BINS)."""
    places = calibration.bins_of(confidence) + calibration.BINS * np.arange(len(confidence))[:, None]
    gaps = np.bincount(places.ravel(), (confidence - right).ravel(), calibration.BINS * len(confidence))
    return gaps.reshape(len(confidence), calibration.BINS).astype(np.float64)


def _mean(by_label: Floats) -> Floats:
    """Mean (R,) over the labels (R, L) that are defined."""
    defined = ~np.isnan(by_label)
    return divide(np.where(defined, by_label, 0.0).sum(-1), defined.sum(-1))


def _per_label(
    split: _Split, label_names: Sequence[str], estimates: dict[str, list[Estimate]]
) -> list[LabelMetrics]:
    margins = zip(split.counts.hits, split.counts.support, split.counts.predicted, strict=True)
    parts = zip(label_names, margins, estimates["f1"], estimates["average_precision"], strict=True)
    return [
        LabelMetrics(
            str(name), int(n), wilson(int(hits), int(called)), wilson(int(hits), int(n)), f1, precision
        )
        for name, (hits, n, called), f1, precision in parts
    ]
