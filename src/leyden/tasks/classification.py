"""`task=classification`: one of C classes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import ClassReader, Kind, TargetReader
from leyden.decision.operating_point import OperatingPoint, neutral
from leyden.metrics import METRICS, Metrics, evaluate
from leyden.metrics.confusion import Cells
from leyden.metrics.probabilities import log_softmax, most_probable
from leyden.metrics.results import MOST_PROBABLE, MOST_ROWS
from leyden.tasks.base import Arrays, Floats, Task
from leyden.tasks.errors import ErrorGroup, Mistake, group, log_loss, worst_by_class
from leyden.tasks.figures import ConfusionMatrix, Figure, PrecisionRecall, RecallBars, Reliability

_UNSEEN = 0.5  # samples that a class without any in training counts as, so that log loss stays finite


MOST_DRAWN = 40  # classes of a confusion matrix where there are too many for all


def most_confused(
    labels: NDArray[np.int64], answers: NDArray[np.int64], names: Sequence[str], title: str
) -> ConfusionMatrix:
    """The part of the confusion matrix for the classes with the most errors, missed or taken for them."""
    cells = Cells.of(labels, answers, len(names))
    wrong = np.flatnonzero(cells.rows != cells.columns)
    errors = np.bincount(
        np.concatenate((cells.rows[wrong], cells.columns[wrong])), np.tile(cells.counts[wrong], 2), len(names)
    )
    chosen = np.sort(np.argsort(-errors, kind="stable")[:MOST_DRAWN])
    place = np.full(len(names), -1)
    place[chosen] = np.arange(len(chosen))
    rows, columns = place[labels], place[answers]
    both = (rows >= 0) & (columns >= 0)
    part = Cells.of(rows[both], columns[both], len(chosen)).matrix()
    drawn = f"{title}: confusion of the {len(chosen)} classes with the most errors, of {len(names):,}"
    return ConfusionMatrix(part.tolist(), [names[c] for c in chosen], drawn)


def _probability_of(classes: NDArray[np.int64], stored: Arrays) -> NDArray[np.float64]:
    """The stored probability (N,) of a class (N,) of each row; 0 where it is not among the stored ones."""
    p = stored["probabilities"].astype(np.float64)
    if "classes" not in stored:
        return np.take_along_axis(p, classes[:, None], 1)[:, 0]
    return np.where(stored["classes"] == classes[:, None], p, 0.0).max(1, initial=0.0)


def _largest_other(labels: NDArray[np.int64], stored: Arrays) -> NDArray[np.float64]:
    """The largest stored probability (N,) of another class than the label (N,)."""
    p = stored["probabilities"].astype(np.float64)
    classes = stored.get("classes", np.arange(p.shape[1])[None])
    return np.where(classes == labels[:, None], 0.0, p).max(1, initial=0.0)


class Classification(Task):
    """One class for each row; outputs are logits (N, C), targets int64 (N,).

    Args:
        na_is_empty: whether NaN, null, None, N/A, NA and the like in a table's cell count as no label.
    """

    name: ClassVar[str] = "classification"
    kind: ClassVar[Kind] = "classes"
    metrics: ClassVar[tuple[str, ...]] = METRICS
    has_class_prior: ClassVar[bool] = True

    def __init__(self, na_is_empty: bool = False) -> None:
        self.na_is_empty = na_is_empty

    def reader(self) -> TargetReader:
        """One column with the name of the class."""
        return ClassReader(self.na_is_empty)

    def evaluate(
        self, outputs: Floats, targets: NDArray[Any], spec: DataSpec, decision: Any, intervals: bool
    ) -> Metrics:
        """Every metric at an operating point."""
        scores = outputs if decision.is_neutral else decision.log_probabilities(outputs)
        return evaluate(
            scores,
            targets,
            spec.target_names,
            decisions=None if decision.is_neutral else decision.decide(scores),
            class_counts=spec.class_counts,
            intervals=intervals,
        )

    def neutral(self, spec: DataSpec) -> OperatingPoint:
        """Logits as they are, the most probable class."""
        return neutral(spec.num_outputs)

    def load_decision(self, stored: Mapping[str, Any]) -> OperatingPoint:
        """An operating point."""
        return OperatingPoint.from_dict(stored)

    def verify_rule(self, rule: Any, spec: DataSpec) -> None:
        """As every task; and its class names must exist."""
        super().verify_rule(rule, spec)
        rule.verify(spec.target_names)

    def scores(self, outputs: Floats, decision: Any) -> Floats:
        """Probabilities (N, C)."""
        return np.exp(log_softmax(decision.log_probabilities(outputs)))

    def predictions(self, outputs: Floats, targets: NDArray[Any], decision: Any) -> Arrays:
        """labels (N,), probabilities float32 (N, C), predicted (N,).

        Of more than 1,000 classes probabilities are (N, 21): the 20 largest, in order, and that of the true class;
        classes int32 (N, 21) says of which each is.
        """
        log_p = outputs if decision.is_neutral else decision.log_probabilities(outputs)
        stored = {"labels": targets, "predicted": decision.decide(log_p)}
        if log_p.shape[1] <= MOST_ROWS:
            return {**stored, "probabilities": np.exp(log_softmax(log_p)).astype(np.float32)}
        classes, probabilities = most_probable(log_p, targets, MOST_PROBABLE)
        return {**stored, "probabilities": probabilities, "classes": classes}

    def answers(self, outputs: Floats, spec: DataSpec, decision: Any, top: int) -> Iterator[dict[str, Any]]:
        """{classes: [...], probabilities: [...]}: the answer, then the most probable other classes."""
        log_p = decision.log_probabilities(outputs)
        for row, answer in zip(np.exp(log_p), decision.decide(log_p), strict=True):
            ranked = np.argsort(-row, kind="stable")
            places = [int(answer), *ranked[ranked != answer].tolist()][:top]
            names = [spec.target_names[i] for i in places]
            yield {"classes": names, "probabilities": row[places].tolist()}

    def columns(self, answer: Mapping[str, Any]) -> dict[str, str | float]:
        """class_1, probability_1, class_2, ..."""
        found: dict[str, str | float] = {}
        for k, (name, share) in enumerate(zip(answer["classes"], answer["probabilities"], strict=True), 1):
            found |= {f"class_{k}": name, f"probability_{k}": share}
        return found

    def figures(
        self, found: Mapping[str, Any], stored: Arrays, spec: DataSpec, title: str
    ) -> Iterator[tuple[str, Figure]]:
        """Confusion matrix, recall by class, precision-recall curves, reliability.

        Of many classes the matrix is that of the most confused; the curves need all probabilities, and are left out.
        """
        names, probabilities, labels = spec.target_names, stored["probabilities"], stored["labels"]
        if found["confusion"]:
            yield "confusion", ConfusionMatrix(found["confusion"], names, f"{title}: confusion")
        else:
            yield "confusion", most_confused(stored["labels"], stored["predicted"], names, title)
        yield "recall", RecallBars(found["per_class"], f"{title}: recall by class")
        if "classes" not in stored:
            curves = PrecisionRecall(probabilities, labels, names, f"{title}: precision and recall")
            yield "precision-recall", curves
        right = stored["predicted"] == labels
        yield "reliability", Reliability(probabilities.max(1), right, f"{title}: reliability")

    def errors(self, stored: Arrays, spec: DataSpec, each: int) -> Sequence[ErrorGroup]:
        """Wrong predictions by true class, by the probability of what was answered."""
        predicted, labels, names = stored["predicted"], stored["labels"], spec.target_names
        wrong = np.flatnonzero(self.wrong(stored))
        there = {k: v[wrong] for k, v in stored.items()}
        confidence, own, other = (np.zeros(len(labels)) for _ in range(3))
        confidence[wrong] = _probability_of(predicted[wrong], there)
        own[wrong] = _probability_of(labels[wrong], there)
        other[wrong] = _largest_other(labels[wrong], there)

        def said(place: int) -> Mistake:
            true, answer = names[labels[place]], names[predicted[place]]
            numbers = confidence[place], log_loss(own[place]), own[place] - other[place]
            return Mistake(f"{true} as {answer}", f"{answer} {confidence[place]:.2f}", true, answer, *numbers)

        worst = worst_by_class(wrong, labels[wrong], confidence[wrong], each)
        return [group(names[c], total, places, said) for c, total, places in worst]

    def wrong(self, stored: Arrays) -> NDArray[np.bool_]:
        """Another class was answered."""
        found: NDArray[np.bool_] = stored["predicted"] != stored["labels"]
        return found

    def sample_columns(self, stored: Arrays, spec: DataSpec) -> Mapping[str, Sequence[str]]:
        """true, answered, result (right or wrong) and the probability of the answer."""
        predicted, labels, names = stored["predicted"], stored["labels"], spec.target_names
        return {
            "true": [names[c] for c in labels],
            "answered": [names[c] for c in predicted],
            "result": ["right" if right else "wrong" for right in predicted == labels],
            "probability": [f"{p:.3f}" for p in _probability_of(predicted, stored)],
        }

    def trivial_outputs(self, spec: DataSpec) -> tuple[float, ...]:
        """The logarithm of the training shares: the most frequent class, with its share as probability."""
        counts = np.maximum(np.array(spec.class_counts, dtype=np.float64), _UNSEEN)
        return tuple(np.log(counts / counts.sum()).tolist())
