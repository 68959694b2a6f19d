"""Figures of a task, as plain data, to matplotlib figures."""

from functools import singledispatch

from matplotlib.figure import Figure as Drawn

from leyden.reporting.plots import evaluation, multilabel, regression
from leyden.tasks.figures import (
    ClassSimilarity,
    ConfusionMatrix,
    Figure,
    LabelErrors,
    LabelPrecision,
    PrecisionRecall,
    PredictedActual,
    RecallBars,
    Reliability,
    Residuals,
)


@singledispatch
def draw(figure: Figure) -> Drawn:
    """A matplotlib figure of one of `leyden.tasks.figures`."""
    raise TypeError(f"no way to draw {type(figure).__name__}")


@draw.register
def _(figure: ConfusionMatrix) -> Drawn:
    return evaluation.confusion_matrix(figure.counts, figure.names, figure.title)


@draw.register
def _(figure: RecallBars) -> Drawn:
    return evaluation.recall_bars(figure.per_class, figure.title)


@draw.register
def _(figure: PrecisionRecall) -> Drawn:
    return evaluation.pr_curves(figure.probabilities, figure.labels, figure.names, figure.title)


@draw.register
def _(figure: Reliability) -> Drawn:
    return evaluation.reliability(figure.confidence, figure.right, figure.title)


@draw.register
def _(figure: LabelPrecision) -> Drawn:
    return multilabel.average_precision_bars(figure.per_label, figure.samples, figure.title)


@draw.register
def _(figure: LabelErrors) -> Drawn:
    return multilabel.error_matrix(figure.answers, figure.targets, figure.names, figure.title)


@draw.register
def _(figure: PredictedActual) -> Drawn:
    return regression.predicted_against_actual(figure.predictions, figure.targets, figure.name, figure.title)


@draw.register
def _(figure: Residuals) -> Drawn:
    return regression.residuals_against_predicted(
        figure.predictions, figure.targets, figure.name, figure.title
    )


@draw.register
def _(figure: ClassSimilarity) -> Drawn:
    return evaluation.class_similarity(figure.cosines, figure.names, figure.inputs, figure.title)
