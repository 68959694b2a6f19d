"""Figures of an evaluation and of samples, from NumPy arrays; each function returns a matplotlib `Figure`.

figures.confusion_matrix(metrics.confusion, class_names).savefig("confusion.png")
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.metrics.calibration import BINS
from leyden.metrics.intervals import wilson
from leyden.metrics.ranking import Ranked, areas, one_vs_rest
from leyden.reporting.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, blank, short
from leyden.reporting.grids import image_grid, spectrogram_grid, waveform_grid
from leyden.reporting.words import count, number

__all__ = [
    "confusion_matrix",
    "image_grid",
    "pr_curves",
    "recall_bars",
    "reliability",
    "spectrogram_grid",
    "waveform_grid",
]

_MOST_PRINTED = 20  # classes up to which counts are printed into the cells
_MOST_NAMED = 60  # classes up to which every one is named on an axis
_MOST_BARS = 40
# Dashes are a second cue beside colour.
_LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (VERMILION, ":"), (PURPLE, "-"), (BLACK, "--"))
_MOST_POINTS = 1000  # of a curve: more than the figure has pixels for


def confusion_matrix(confusion: ArrayLike, class_names: Sequence[str], title: str = "") -> Figure:
    """Counts (C, C), rows true. A cell's colour is its share of its row, so that rare classes show too."""
    counts = np.asarray(confusion)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 3.0 + 0.5 * classes if classes <= _MOST_PRINTED else 10.0
    figure = blank(side + 0.8, side)
    axes = figure.add_subplot()
    # of many classes a confusion takes a small share: the root makes it visible
    norm = PowerNorm(1.0 if classes <= _MOST_PRINTED else 0.5, vmin=0, vmax=1)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    places = range(0, classes, math.ceil(classes / _MOST_NAMED))
    names = [short(class_names[c], 18) for c in places]
    size = 9 if classes <= _MOST_PRINTED else 7
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=short(title, 60))
    if classes <= _MOST_PRINTED:
        _print_counts(axes, counts, shares)
    return figure


def _print_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    """Zeros are left blank: what is there is what was confused."""
    size = 9 if counts.max() < 10_000 else 7
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.55 else "black"
        cell = f"{counts[row, column]}"
        axes.text(column, row, cell, ha="center", va="center", color=colour, fontsize=size)


def reliability(confidence: ArrayLike, correct: ArrayLike, title: str = "") -> Figure:
    """Accuracy in 15 equal bins of confidence, and how many samples each bin holds. Both (N,).

    A bar below the diagonal is over-confident. Whiskers: Wilson's 95 % interval of the bin's accuracy, at the
    bin's mean confidence.
    """
    confident, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.int64)
    bins = np.clip(np.ceil(confident * BINS).astype(np.int64) - 1, 0, BINS - 1)
    n, hits = np.bincount(bins, minlength=BINS), np.bincount(bins, right, BINS)
    mean = np.bincount(bins, confident, BINS) / np.maximum(n, 1)
    ece = np.abs(hits - mean * n).sum() / max(len(confident), 1)
    filled, centres = np.flatnonzero(n), (np.arange(BINS) + 0.5) / BINS
    figure = blank(5.5, 6.2)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.bar(centres, hits / np.maximum(n, 1), 1 / BINS, color=SKY, edgecolor="white", label="accuracy")
    _whiskers(top, mean[filled], hits[filled], n[filled])
    top.plot((0, 1), (0, 1), "--", color=BLACK, lw=1, label="perfectly calibrated")
    heading = f"{short(title, 40)}: " if title else ""
    top.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    top.set_title(f"{heading}ECE {number(ece)}, n = {count(len(confident))}")
    top.legend(loc="upper left", fontsize=9)
    below.bar(centres, n, 1 / BINS, color=GREY, edgecolor="white")
    below.set(xlabel="confidence", ylabel="samples")
    return figure


def _whiskers(axes: Axes, x: NDArray[Any], hits: NDArray[Any], n: NDArray[Any]) -> None:
    ends = [wilson(int(k), int(m)) for k, m in zip(hits, n, strict=True)]
    share = hits / n
    low = share - [e.low or 0.0 for e in ends]
    high = [e.high or 0.0 for e in ends] - share
    axes.errorbar(x, share, (low, high), fmt="o", ms=4, capsize=2, lw=1, color=BLUE, label="95 % interval")


def pr_curves(
    probabilities: ArrayLike, labels: ArrayLike, class_names: Sequence[str], title: str = ""
) -> Figure:
    """Precision against recall, one class against the rest. probabilities (N, C), labels (N,).

    The six classes of lowest average precision are named, the others grey; of two classes class 1 alone.
    """
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    names = class_names[1:] if scores.shape[1] == 2 else class_names
    ones = np.ones(len(truth), dtype=np.uint8)
    curves = [
        (areas(ranked, ones)[1], name, ranked)
        for name, ranked in zip(names, one_vs_rest(np.ascontiguousarray(scores.T), truth), strict=True)
        if len(ranked.positives)
    ]
    curves.sort(key=lambda curve: curve[0])
    figure = blank(6.4, 5.8)
    axes = figure.add_subplot()
    for i, (_, _, ranked) in enumerate(curves[len(_LINES) :]):
        label = f"{len(curves) - len(_LINES)} better classes" if i == 0 else None
        axes.plot(*_curve(ranked), color=GREY, lw=0.8, label=label)
    for (area, name, ranked), (colour, dashes) in reversed(list(zip(curves, _LINES, strict=False))):
        axes.plot(*_curve(ranked), dashes, color=colour, lw=1.6, label=f"{short(name)}  AP {area:.3f}")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=short(title, 60))
    axes.grid(alpha=0.3)
    if curves:
        figure.legend(fontsize=9, loc="outside lower center", ncols=2)
    return figure


def _curve(ranked: Ranked) -> tuple[NDArray[Any], NDArray[Any]]:
    """(recall, precision) at each positive's score, at most a thousand of them."""
    points = len(ranked.positives)
    at = np.unique(np.linspace(0, points - 1, min(points, _MOST_POINTS)).astype(np.int64))
    return ranked.last[at] / points, ranked.last[at] / ranked.until[at]


def recall_bars(per_class: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Recall of each class with its Wilson interval and n, the worst on top; above 40 classes the worst 40.

    per_class: that of a stored Metrics.
    """
    present = sorted((c for c in per_class if c["n"]), key=lambda c: (c["recall"]["value"], c["name"]))
    shown = present[:_MOST_BARS]
    recall, low, high = (
        np.array([c["recall"][key] or 0.0 for c in shown]) for key in ("value", "low", "high")
    )
    figure = blank(7.0, 1.4 + 0.28 * max(len(shown), 2))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    axes.barh(places, recall, color=SKY, height=0.75)
    axes.errorbar(
        recall, places, xerr=(recall - low, high - recall), fmt="none", ecolor=BLUE, capsize=3, lw=1.4
    )
    for place, c in enumerate(shown):
        axes.text(1.015, place, f"n = {count(c['n'])}", va="center", fontsize=9)
    axes.set_yticks(places, [short(c["name"]) for c in shown])
    axes.set(xlim=(0, 1), xlabel="recall, 95 % interval")
    axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
    left_out = f" (the worst {len(shown)} of {len(present)})" if len(shown) < len(present) else ""
    axes.set_title(f"{short(title, 50)}{left_out}")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
