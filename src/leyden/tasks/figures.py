"""Figures of an evaluation as plain data; `leyden.reporting.plots.draw` draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class ConfusionMatrix:
    """counts (C, C), rows are the true classes."""

    counts: Sequence[Sequence[int]]
    names: Sequence[str]
    title: str


@dataclass(frozen=True)
class RecallBars:
    """per_class: metrics of each class with intervals, as in result.json."""

    per_class: Sequence[Mapping[str, Any]]
    title: str


@dataclass(frozen=True)
class PrecisionRecall:
    """probabilities (N, C), labels (N,), for one curve a class."""

    probabilities: NDArray[Any]
    labels: NDArray[Any]
    names: Sequence[str]
    title: str


@dataclass(frozen=True)
class Reliability:
    """confidence (N,) of what was decided, and whether it was right (N,)."""

    confidence: NDArray[Any]
    right: NDArray[Any]
    title: str


@dataclass(frozen=True)
class LabelPrecision:
    """per_label: metrics of each label with intervals, as in result.json; samples: how many were evaluated."""

    per_label: Sequence[Mapping[str, Any]]
    samples: int
    title: str


@dataclass(frozen=True)
class LabelErrors:
    """Which labels are missed and falsely added together: targets and answers (N, L) of 0 and 1."""

    targets: NDArray[Any]
    answers: NDArray[Any]
    names: Sequence[str]
    title: str


@dataclass(frozen=True)
class PredictedActual:
    """predictions and targets (N,) of one target, in its unit."""

    predictions: NDArray[Any]
    targets: NDArray[Any]
    name: str
    title: str


@dataclass(frozen=True)
class Residuals:
    """predictions and targets (N,) of one target, in its unit."""

    predictions: NDArray[Any]
    targets: NDArray[Any]
    name: str
    title: str


@dataclass(frozen=True)
class ClassSimilarity:
    """cosines (C, C) of the classes of one input, in rows, with those of another; inputs: their names."""

    cosines: Sequence[Sequence[float]]
    names: Sequence[str]
    inputs: tuple[str, str]
    title: str


Figure = (
    ConfusionMatrix
    | RecallBars
    | PrecisionRecall
    | Reliability
    | LabelPrecision
    | LabelErrors
    | PredictedActual
    | Residuals
    | ClassSimilarity
)
