"""`task=multilabel`: any number of L labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from leyden.data.spec import DataSpec
from leyden.data.targets import Kind, LabelReader, TargetReader
from leyden.decision.label_rule import LabelThresholds
from leyden.metrics.multilabel import evaluate_multilabel
from leyden.metrics.results import MULTILABEL_METRICS, MultilabelMetrics
from leyden.tasks.base import Arrays, Floats, Task
from leyden.tasks.errors import ErrorGroup, Mistake, group, log_loss, worst_by_class
from leyden.tasks.figures import Figure, LabelErrors, LabelPrecision, Reliability


class Multilabel(Task):
    """Any number of labels for each row; outputs are logits (N, L), targets 0 or 1 (N, L).

    Args:
        separator: between the labels of a table's cell.
    """

    name: ClassVar[str] = "multilabel"
    kind: ClassVar[Kind] = "labels"
    metrics: ClassVar[tuple[str, ...]] = MULTILABEL_METRICS

    def __init__(self, separator: str = ";") -> None:
        self.separator = separator

    def reader(self) -> TargetReader:
        """One column of labels between separators, or a column of 0 and 1 for each label."""
        return LabelReader(self.separator)

    def evaluate(
        self, outputs: Floats, targets: NDArray[Any], spec: DataSpec, decision: Any, intervals: bool
    ) -> MultilabelMetrics:
        """Every metric at the labels' thresholds."""
        decided = None if decision.is_neutral else decision.decide(outputs)
        return evaluate_multilabel(
            decision.shifted(outputs), targets, spec.target_names, decisions=decided, intervals=intervals
        )

    def neutral(self, spec: DataSpec) -> LabelThresholds:
        """A label is predicted where it is more probable than not."""
        return LabelThresholds((0.0,) * spec.num_outputs)

    def load_decision(self, stored: Mapping[str, Any]) -> LabelThresholds:
        """A threshold for each label."""
        return LabelThresholds.from_dict(stored)

    def scores(self, outputs: Floats, decision: Any) -> Floats:
        """Probabilities (N, L)."""
        return np.asarray(expit(decision.shifted(outputs)))

    def predictions(self, outputs: Floats, targets: NDArray[Any], decision: Any) -> Arrays:
        """targets and predicted uint8 (N, L), probabilities float32 (N, L)."""
        decided = decision.decide(outputs).astype(np.uint8)
        probabilities = self.scores(outputs, decision).astype(np.float32)
        return {"targets": targets.astype(np.uint8), "probabilities": probabilities, "predicted": decided}

    def answers(self, outputs: Floats, spec: DataSpec, decision: Any, top: int) -> Iterator[dict[str, Any]]:
        """{labels: [...], probabilities: {label: p}}, the labels by falling probability."""
        for row, decided in zip(self.scores(outputs, decision), decision.decide(outputs), strict=True):
            order = np.argsort(-row, kind="stable")
            labels = [spec.target_names[i] for i in order if decided[i]]
            yield {"labels": labels, "probabilities": {spec.target_names[i]: float(row[i]) for i in order}}

    def columns(self, answer: Mapping[str, Any]) -> dict[str, str | float]:
        """labels, then the probability of each label."""
        cells: dict[str, str | float] = {"labels": self.separator.join(answer["labels"])}
        return cells | {name: answer["probabilities"][name] for name in sorted(answer["probabilities"])}

    def figures(
        self, found: Mapping[str, Any], stored: Arrays, spec: DataSpec, title: str
    ) -> Iterator[tuple[str, Figure]]:
        """Average precision by label, errors by pairs of labels, reliability of all decisions."""
        targets, predicted, p = stored["targets"], stored["predicted"], stored["probabilities"]
        yield (
            "average precision",
            LabelPrecision(found["per_label"], len(targets), f"{title}: average precision"),
        )
        yield (
            "errors by label",
            LabelErrors(targets, predicted, spec.target_names, f"{title}: errors by label"),
        )
        confidence = np.where(predicted == 1, p, 1 - p).ravel()
        yield "reliability", Reliability(confidence, (predicted == targets).ravel(), f"{title}: reliability")

    def errors(self, stored: Arrays, spec: DataSpec, each: int) -> Sequence[ErrorGroup]:
        """Wrong decisions by label, by how far the label's probability is on the wrong side."""
        targets, predicted, p = stored["targets"], stored["predicted"], stored["probabilities"]
        rows, labels = np.nonzero(predicted != targets)
        added, of_label = predicted[rows, labels] == 1, p[rows, labels].astype(np.float64)
        worst = worst_by_class(rows, labels, np.where(added, of_label, 1 - of_label), each)
        return [self._group(label, total, places, stored, spec) for label, total, places in worst]

    def _group(
        self, label: int, total: int, places: NDArray[np.int64], stored: Arrays, spec: DataSpec
    ) -> ErrorGroup:
        name = spec.target_names[label]

        def said(place: int) -> Mistake:
            has, p = stored["targets"][place, label] == 1, float(stored["probabilities"][place, label])
            kind, own = ("missed", p) if has else ("added", 1 - p)
            words = ("yes", "no") if has else ("no", "yes")
            return Mistake(f"{name} {kind}", f"{kind} {p:.2f}", *words, 1 - own, log_loss(own), 2 * own - 1)

        return group(name, total, places, said)

    def wrong(self, stored: Arrays) -> NDArray[np.bool_]:
        """Any label is missed or added."""
        found: NDArray[np.bool_] = (stored["predicted"] != stored["targets"]).any(axis=1)
        return found

    def sample_columns(self, stored: Arrays, spec: DataSpec) -> Mapping[str, Sequence[str]]:
        """true, answered, and how many labels are wrong."""
        targets, predicted = stored["targets"], stored["predicted"]
        return {
            "true": [_names(spec, row) for row in targets],
            "answered": [_names(spec, row) for row in predicted],
            "wrong labels": [str(n) for n in (targets != predicted).sum(axis=1)],
        }

    def trivial_outputs(self, spec: DataSpec) -> tuple[float, ...]:
        """The log-odds of each label's training share."""
        n = spec.sizes[0]
        shares = np.clip(np.array(spec.class_counts) / n, 0.5 / n, 1 - 0.5 / n)
        return tuple(logit(shares).tolist())


def _names(spec: DataSpec, row: NDArray[Any]) -> str:
    return ", ".join(spec.target_names[i] for i in np.flatnonzero(row)) or "none"
