"""Figures of an evaluation and of samples, from NumPy arrays; each function returns a matplotlib `Figure`.

evaluation.confusion_matrix(metrics.confusion, class_names).savefig("confusion.svg")

Their width is twice that of an image in TensorBoard, where numbers in a larger, downscaled one are illegible.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.metrics.calibration import BINS
from leyden.metrics.intervals import wilson
from leyden.metrics.ranking import Ranked, areas, one_vs_rest
from leyden.reporting.format import count, number
from leyden.reporting.plots.fast_figure import Margins, Sheet, bars, legend_height
from leyden.reporting.plots.samples import image_grid, waveform_grid
from leyden.reporting.plots.shared import SHARES, count_matrix, interval_bars
from leyden.reporting.plots.style import BLACK, BLUE, CARD, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, short

__all__ = ["confusion_matrix", "image_grid", "pr_curves", "recall_bars", "reliability", "waveform_grid"]

# Dashes are a second cue beside colour.
_LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (VERMILION, ":"), (PURPLE, "-"), (BLACK, "--"))
_MOST_STEPS = 500  # of a curve: as many as the figure has pixels for
_SIDES = Margins(0.55, 0.55)
_WIDE = CARD - _SIDES.left - _SIDES.right  # inches of the axes
_RELIABILITY_KEY = (
    ("accuracy", SKY, ""),
    ("95 % interval", BLUE, "-"),
    ("perfectly calibrated", BLACK, "--"),
)
_FLOOR = -0.36  # of a reliability diagram, whose counts stand below its zero


def confusion_matrix(confusion: ArrayLike, class_names: Sequence[str], title: str = "") -> Figure:
    """Plot the confusion matrix (C, C), rows true; colours are row-normalised, so that rare classes are visible."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return count_matrix(counts, shares, class_names, ("predicted", "true"), title)


def class_similarity(
    cosines: ArrayLike, class_names: Sequence[str], inputs: tuple[str, str], title: str = ""
) -> Figure:
    """Plot mean cosines (C, C) between classes of two inputs, the first in rows, in hundredths; below 0 is white."""
    values = np.asarray(cosines, dtype=np.float64)
    hundredths = np.rint(100 * values).astype(np.int64)
    return count_matrix(
        hundredths, np.clip(values, 0, 1), class_names, inputs[::-1], f"{title}, in hundredths"
    )


def reliability(confidence: ArrayLike, correct: ArrayLike, title: str = "") -> Figure:
    """Plot a reliability diagram: accuracy, and number of samples, in 15 bins of equal width. Both inputs (N,).

    Bars below the diagonal are over-confident. Whiskers: Wilson's 95 % interval of the bin's accuracy, at the
    bin's mean confidence.
    """
    confident, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.int64)
    bins = np.clip(np.ceil(confident * BINS).astype(np.int64) - 1, 0, BINS - 1)
    n, hits = np.bincount(bins, minlength=BINS), np.bincount(bins, right, BINS)
    mean = np.bincount(bins, confident, BINS) / np.maximum(n, 1)
    ece = np.abs(hits - mean * n).sum() / max(len(confident), 1)
    filled, edges = np.flatnonzero(n), np.arange(BINS) / BINS
    heading = f"{short(title, 40)}: " if title else ""
    heading += f"ECE {number(ece)}, n = {count(len(confident))}"
    margins = _SIDES._replace(bottom=0.55 + legend_height(_RELIABILITY_KEY, _WIDE))
    sheet = Sheet(_WIDE, _WIDE, margins, heading, y=(_FLOOR, 1.02))
    sheet.areas(bars(edges, 1 / BINS, hits / np.maximum(n, 1)), SKY, "white")
    # the number of samples per bin, as a separate panel
    sheet.areas(bars(edges, 1 / BINS, 0.25 * n / max(n.max(), 1), _FLOOR), GREY, "white")
    sheet.text(0.01, _FLOOR + 0.27, f"samples, at most {count(int(n.max()))} per bin", va="bottom")
    sheet.line((0, 1), (0, 0), BLACK, 0.8)
    _whiskers(sheet, mean[filled], hits[filled], n[filled])
    sheet.line((0, 1), (0, 1), BLACK, 1.0, "--")
    sheet.frame()
    sheet.ticks(SHARES, SHARES)
    sheet.axis_labels("confidence, in 15 bins of equal width", "accuracy")
    sheet.legend(_RELIABILITY_KEY)
    return sheet.picture


def _whiskers(sheet: Sheet, x: NDArray[Any], hits: NDArray[Any], n: NDArray[Any]) -> None:
    ends = [wilson(int(k), int(m)) for k, m in zip(hits, n, strict=True)]
    low, high = [e.low or 0.0 for e in ends], [e.high or 0.0 for e in ends]
    sheet.segments(np.column_stack((x, low)), np.column_stack((x, high)), BLUE)
    sheet.dots(x, hits / n, BLUE)


def pr_curves(
    probabilities: ArrayLike, labels: ArrayLike, class_names: Sequence[str], title: str = ""
) -> Figure:
    """Plot one-vs-rest precision-recall curves. probabilities (N, C), labels (N,).

    The six classes of lowest average precision are in colour, the others grey; of two classes only class 1 is plotted.
    """
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    names = class_names[1:] if scores.shape[1] == 2 else class_names
    curves = [
        (areas(ranked)[1], name, ranked)
        for name, ranked in zip(names, one_vs_rest(np.ascontiguousarray(scores.T), truth), strict=True)
        if len(ranked.positives)
    ]
    curves.sort(key=lambda curve: curve[0])
    worst, better = curves[: len(_LINES)], curves[len(_LINES) :]
    entries = [
        (f"{short(name, 18)}  AP {area:.3f}", *line)
        for (area, name, _), line in zip(worst, _LINES, strict=False)
    ]
    entries += [(f"{len(better)} better classes", GREY, "-")] if better else []
    key = legend_height(entries, _WIDE)
    sheet = Sheet(_WIDE, 2.6, _SIDES._replace(bottom=0.55 + key), title, (0.0, 1.01), (0.0, 1.02))
    inner = [share for share in SHARES if share]
    sheet.segments([(x, 0.0) for x in inner], [(x, 1.02) for x in inner], "#DDDDDD", 0.8)
    sheet.segments([(0.0, y) for y in inner], [(1.01, y) for y in inner], "#DDDDDD", 0.8)
    for _, _, ranked in better:
        sheet.line(*_curve(ranked), GREY, 0.8)
    for (_, _, ranked), (colour, dashes) in reversed(list(zip(worst, _LINES, strict=False))):
        sheet.line(*_curve(ranked), colour, 1.4, dashes)
    sheet.frame()
    sheet.ticks(SHARES, SHARES)
    sheet.axis_labels("recall", "precision")
    sheet.legend(entries)
    return sheet.picture


def _curve(ranked: Ranked) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (recall, precision) as steps at the positives' scores, at most 500 of them.

    Steps, as in average precision: linear interpolation between two points implies a precision that no threshold
    reaches (Davis and Goadrich 2006, The Relationship Between Precision-Recall and ROC Curves).
    """
    points = len(ranked.positives)
    at = np.unique(np.linspace(0, points - 1, min(points, _MOST_STEPS)).astype(np.int64))
    recall, precision = ranked.last[at] / points, ranked.last[at] / ranked.until[at]
    return np.repeat(np.append(0.0, recall), 2)[1:-1], np.repeat(precision, 2)


def recall_bars(per_class: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Plot the recall of each class with its Wilson interval and n, the worst on top; of more than 40, the worst 40.

    per_class: of a stored Metrics.
    """
    return interval_bars([c for c in per_class if c["n"]], "recall", "recall, 95 % interval", title)
