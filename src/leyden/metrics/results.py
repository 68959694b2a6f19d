"""What an evaluation found, as plain values that go through JSON unchanged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

# Of classification, multi-label classification, regression, transcripts and retrieval, in the order shown.
# `monitor: val/<name>` takes these, and val/loss.
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mcc",
    "log_loss",
    "ece",
    "auroc",
    "average_precision",
)
MULTILABEL_METRICS = (
    "average_precision",
    "average_precision_micro",
    "auroc",
    "macro_f1",
    "micro_f1",
    "sample_f1",
    "subset_accuracy",
    "hamming_loss",
    "log_loss",
    "ece",
)
REGRESSION_METRICS = ("mae", "rmse", "r2", "spearman")
TRANSCRIPT_METRICS = ("wer", "cer", "string_error")
RECALLED_AT = (1, 5, 10)  # rows that are retrieved
RETRIEVAL_METRICS = (
    *(f"class_recall_at_{k}" for k in RECALLED_AT),
    *(f"recall_at_{k}" for k in RECALLED_AT),
    "median_rank",
    "zero_shot_accuracy",
)
_LOWER_IS_BETTER = frozenset(
    {"loss", "log_loss", "ece", "hamming_loss", "mae", "rmse", "median_rank", *TRANSCRIPT_METRICS}
)


# Of many classes a result keeps what grows with samples and classes, and not with the square of the classes.
MOST_IN_MATRIX = 200  # classes with a whole confusion matrix; of more the most frequent confusions
MOST_ROWS = 1000  # rows of classes or confusions in a result; probabilities of each sample
MOST_PROBABLE = 20  # probabilities of a sample, beside that of the true class, of more than MOST_ROWS classes


def higher_is_better(name: str) -> bool:
    """Whether a monitored value should grow: False for losses and errors, such as val/loss, val/ece and val/mae.

    >>> higher_is_better("val/macro_f1"), higher_is_better("val/ece")
    (True, False)
    """
    return name.rsplit("/", 1)[-1] not in _LOWER_IS_BETTER


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `method` says how it was made, or why there is none.

    value is None where the quantity is undefined; low and high are None where there is no interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the rest. n: samples with this label.

    Undefined, hence None: recall of a class without samples, precision of a class never predicted, f1 of
    a class that is neither. A class with samples that is never predicted has f1 = 0.
    """

    name: str
    n: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class Group:
    """Classes with many, a medium number of, or few training samples: how many there are, and their mean recall."""

    classes: int
    recall: Estimate


@dataclass(frozen=True)
class Confusion:
    """How many samples of one class were taken for another."""

    true: str
    predicted: str
    n: int


@dataclass(frozen=True)
class Metrics:
    """Everything known of an evaluation of a classifier. n: samples; confusion: (C, C) counts, rows are true classes.

    groups: by "many" (more than 100 training samples), "medium" and "few" (fewer than 20), where it has classes; empty
    where the training counts are not known. Of more than MOST_IN_MATRIX classes confusion is empty, and confusions are
    the most frequent ones.
    """

    n: int
    values: dict[str, Estimate]
    per_class: list[ClassMetrics]
    confusion: list[list[int]]
    groups: dict[str, Group] = field(default_factory=dict)
    confusions: list[Confusion] = field(default_factory=list)

    def scalars(self) -> dict[str, float]:
        """The defined values alone, by name: what a logger or a monitor takes."""
        return _defined(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and None: never NaN, so that strict JSON takes it.

        Of more than MOST_ROWS classes those with samples whose recall is lowest.
        """
        many = len(self.per_class) > MOST_ROWS
        return asdict(replace(self, per_class=self._worst()) if many else self)

    def _worst(self) -> list[ClassMetrics]:
        there = [c for c in self.per_class if c.n]
        return sorted(there, key=lambda c: (c.recall.value or 0.0, -c.n))[:MOST_ROWS]

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Metrics":
        """The metrics as they were before `to_dict`."""
        return cls(
            n=stored["n"],
            values=_estimates(stored["values"]),
            per_class=[
                ClassMetrics(
                    name=c["name"],
                    n=c["n"],
                    **{key: Estimate(**c[key]) for key in ("precision", "recall", "f1")},
                )
                for c in stored["per_class"]
            ],
            confusion=stored["confusion"],
            groups={
                name: Group(g["classes"], Estimate(**g["recall"]))
                for name, g in stored.get("groups", {}).items()
            },
            confusions=[Confusion(**pair) for pair in stored.get("confusions", [])],
        )


@dataclass(frozen=True)
class LabelMetrics:
    """One label of a multi-label evaluation. n: samples that have it.

    Undefined, hence None: recall and average precision of a label that no sample has, precision of one never
    predicted, f1 of one that is neither.
    """

    name: str
    n: int
    precision: Estimate
    recall: Estimate
    f1: Estimate
    average_precision: Estimate


@dataclass(frozen=True)
class MultilabelMetrics:
    """Everything known of one evaluation in which a sample has any number of labels. n: samples.

    values: by the names of MULTILABEL_METRICS.
    """

    n: int
    values: dict[str, Estimate]
    per_label: list[LabelMetrics]

    def scalars(self) -> dict[str, float]:
        """The defined values alone, by name: what a logger or a monitor takes."""
        return _defined(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and None: never NaN, so that strict JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "MultilabelMetrics":
        """The metrics as they were before `to_dict`."""
        parts = ("precision", "recall", "f1", "average_precision")
        labels = [
            LabelMetrics(label["name"], label["n"], **_estimates({part: label[part] for part in parts}))
            for label in stored["per_label"]
        ]
        return cls(stored["n"], _estimates(stored["values"]), labels)


@dataclass(frozen=True)
class TargetMetrics:
    """One target of a regression, mae and rmse in its own unit. n: samples.

    Undefined, hence None: r2 of a constant target, spearman where target or predictions are constant.
    """

    name: str
    n: int
    mae: Estimate
    rmse: Estimate
    r2: Estimate
    spearman: Estimate


@dataclass(frozen=True)
class RegressionMetrics:
    """Everything known of one evaluation of a regression. n: samples.

    values: by the names of REGRESSION_METRICS; the mean over the targets that a metric is defined for.
    """

    n: int
    values: dict[str, Estimate]
    per_target: list[TargetMetrics]

    def scalars(self) -> dict[str, float]:
        """The defined values alone, by name: what a logger or a monitor takes."""
        return _defined(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and None: never NaN, so that strict JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "RegressionMetrics":
        """The metrics as they were before `to_dict`."""
        targets = [
            TargetMetrics(t["name"], t["n"], **_estimates({part: t[part] for part in REGRESSION_METRICS}))
            for t in stored["per_target"]
        ]
        return cls(stored["n"], _estimates(stored["values"]), targets)


@dataclass(frozen=True)
class Edits:
    """What makes the recognised transcripts of the true ones, in words or in characters. n: those of the references."""

    substitutions: int
    deletions: int
    insertions: int
    n: int

    @property
    def rate(self) -> float | None:
        """Edits over n; None where there is no reference."""
        return (self.substitutions + self.deletions + self.insertions) / self.n if self.n else None


@dataclass(frozen=True)
class TranscriptGroup:
    """Utterances of one speaker, or of a length. n: utterances.

    wer is None without a reference word; string_error is the share of utterances that are wrong.
    """

    name: str
    n: int
    wer: float | None
    string_error: float
    words: Edits


@dataclass(frozen=True)
class TranscriptMetrics:
    """Everything known of one evaluation of transcripts. n: utterances.

    words, characters: edits summed over the corpus. normaliser: by which texts were normalised before they were
    compared. values: by the names of TRANSCRIPT_METRICS, and what a task adds. confused_words: the most frequent pairs;
    a word that was left out has "" as predicted, one that was put in "" as true. by_length, by_speaker: rates of
    utterances of so many reference words, and of each speaker, where known.
    """

    n: int
    words: Edits
    characters: Edits
    normaliser: str
    values: dict[str, Estimate]
    confused_words: list[Confusion] = field(default_factory=list)
    by_length: list[TranscriptGroup] = field(default_factory=list)
    by_speaker: list[TranscriptGroup] = field(default_factory=list)

    def scalars(self) -> dict[str, float]:
        """The defined values alone, by name: what a logger or a monitor takes."""
        return _defined(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and None: never NaN, so that strict JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "TranscriptMetrics":
        """The metrics as they were before `to_dict`."""
        groups = {
            part: [TranscriptGroup(**{**g, "words": Edits(**g["words"])}) for g in stored[part]]
            for part in ("by_length", "by_speaker")
        }
        return cls(
            n=stored["n"],
            words=Edits(**stored["words"]),
            characters=Edits(**stored["characters"]),
            normaliser=stored["normaliser"],
            values=_estimates(stored["values"]),
            confused_words=[Confusion(**pair) for pair in stored["confused_words"]],
            **groups,
        )


@dataclass(frozen=True)
class RetrievalDirection:
    """Rows found among the other input's rows. query, gallery: names of the inputs; n: queries that are pairs.

    values: by the names of RETRIEVAL_METRICS.
    """

    query: str
    gallery: str
    n: int
    values: dict[str, Estimate]


@dataclass(frozen=True)
class RetrievalMetrics:
    """Everything known of one evaluation of pairs. n: rows with both inputs.

    values: by the names of RETRIEVAL_METRICS, over the queries of both directions; retrieval: of each direction.
    """

    n: int
    values: dict[str, Estimate]
    retrieval: list[RetrievalDirection]

    def scalars(self) -> dict[str, float]:
        """The defined values alone, by name: what a logger or a monitor takes."""
        return _defined(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and None: never NaN, so that strict JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "RetrievalMetrics":
        """The metrics as they were before `to_dict`."""
        ways = [
            RetrievalDirection(**{**way, "values": _estimates(way["values"])}) for way in stored["retrieval"]
        ]
        return cls(stored["n"], _estimates(stored["values"]), ways)


def _defined(values: Mapping[str, Estimate]) -> dict[str, float]:
    return {name: e.value for name, e in values.items() if e.value is not None}


def _estimates(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Estimate]:
    return {name: Estimate(**e) for name, e in stored.items()}


StoredMetrics = Metrics | MultilabelMetrics | RegressionMetrics | TranscriptMetrics | RetrievalMetrics


def stored_metrics(stored: dict[str, Any]) -> StoredMetrics:
    """The metrics of a split as they were before `to_dict`, whichever task they are of."""
    for part, kind in (
        ("per_label", MultilabelMetrics),
        ("per_target", RegressionMetrics),
        ("words", TranscriptMetrics),
        ("retrieval", RetrievalMetrics),
    ):
        if part in stored:
            return kind.from_dict(stored)
    return Metrics.from_dict(stored)
