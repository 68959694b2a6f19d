"""Figures of an evaluation and of samples, from NumPy arrays; each function returns a matplotlib `Figure`.

figures.confusion_matrix(metrics.confusion, class_names).savefig("confusion.png")
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.metrics.calibration import BINS
from leyden.metrics.intervals import wilson
from leyden.metrics.ranking import Ranked, areas, one_vs_rest
from leyden.reporting.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PLAIN,
    PURPLE,
    SKY,
    SMALL,
    VERMILION,
    Margins,
    bars,
    blank,
    breadth,
    lines_of,
    name_axes,
    short,
)
from leyden.reporting.grids import image_grid, waveform_grid
from leyden.reporting.words import count, number

__all__ = ["confusion_matrix", "image_grid", "pr_curves", "recall_bars", "reliability", "waveform_grid"]

_MOST_PRINTED = 20  # classes up to which counts are printed into the cells
_MOST_NAMED = 60  # classes up to which every one is named on an axis
_MOST_BARS = 40
# Dashes are a second cue beside colour.
_LINES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (VERMILION, ":"), (PURPLE, "-"), (BLACK, "--"))
_MOST_POINTS = 1000  # of a curve: more than the figure has pixels for
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_FLOOR = -0.36  # of a reliability diagram, whose counts stand below its zero


def confusion_matrix(confusion: ArrayLike, class_names: Sequence[str], title: str = "") -> Figure:
    """Counts (C, C), rows true. A cell's colour is its share of its row, so that rare classes show too."""
    counts = np.asarray(confusion)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    few = classes <= _MOST_PRINTED
    side, size = (max(2.0, 0.45 * classes), PLAIN) if few else (8.0, 7)
    places = range(0, classes, math.ceil(classes / _MOST_NAMED))
    names = [short(class_names[c], 18) for c in places]
    room = breadth(names, size) + 0.1
    words = lines_of(1, PLAIN) + 0.1
    figure, axes = blank(side, side, Margins(room + words, room + words), title)
    # of many classes a confusion takes a small share: the root makes it visible
    norm = PowerNorm(1.0 if few else 0.5, vmin=0, vmax=1)
    axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    away = 0.05 / side  # from the axes, as a share of them
    for place, name in zip(places, names, strict=True):
        along = (place + 0.5) / classes
        _beside(axes, along, -away, name, size, ha="center", va="top", rotation=90)
        _beside(axes, -away, 1 - along, name, size, ha="right", va="center")
    _beside(axes, 0.5, -(room + 0.05) / side, "predicted", PLAIN, ha="center", va="top")
    _beside(axes, -(room + 0.05) / side, 0.5, "true", PLAIN, ha="right", va="center", rotation=90)
    if few:
        _print_counts(axes, counts, shares)
    return figure


def _beside(axes: Axes, x: float, y: float, words: str, size: float, **how: Any) -> None:
    """Text at a place given in shares of the axes: a fifth of what a tick costs."""
    axes.text(x, y, words, fontsize=size, transform=axes.transAxes, **how)


def _print_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    """Zeros are left blank: what is there is what was confused."""
    size = PLAIN if counts.max() < 10_000 else 7
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
    filled, edges = np.flatnonzero(n), np.arange(BINS) / BINS
    heading = f"{short(title, 40)}: " if title else ""
    heading += f"ECE {number(ece)}, n = {count(len(confident))}"
    figure, axes = blank(4.8, 4.6, Margins(0.6, 0.5), heading)
    heights, share = hits / np.maximum(n, 1), n / max(n.max(), 1)
    axes.add_collection(
        PolyCollection(bars(edges, 1 / BINS, heights), facecolor=SKY, edgecolor="white", label="accuracy")
    )
    # how many samples: a panel of its own to look at, but one axes, which costs half of two
    axes.add_collection(
        PolyCollection(bars(edges, 1 / BINS, 0.25 * share, _FLOOR), facecolor=GREY, edgecolor="white")
    )
    axes.text(0.01, _FLOOR + 0.27, f"samples, at most {count(int(n.max()))} a bin", fontsize=SMALL)
    axes.axhline(0, color=BLACK, lw=0.8)
    _whiskers(axes, mean[filled], hits[filled], n[filled])
    axes.plot((0, 1), (0, 1), "--", color=BLACK, lw=1, label="perfectly calibrated")
    axes.set(xlim=(0, 1), ylim=(_FLOOR, 1.02), xticks=_SHARES, yticks=_SHARES)
    name_axes(axes, "confidence", "accuracy")
    axes.legend(loc="upper left", fontsize=SMALL)
    return figure


def _whiskers(axes: Axes, x: NDArray[Any], hits: NDArray[Any], n: NDArray[Any]) -> None:
    ends = [wilson(int(k), int(m)) for k, m in zip(hits, n, strict=True)]
    low, high = [e.low or 0.0 for e in ends], [e.high or 0.0 for e in ends]
    axes.vlines(x, low, high, color=BLUE, lw=1, label="95 % interval")
    axes.plot(x, hits / n, "o", ms=4, color=BLUE)


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
    rows = math.ceil(min(len(curves), len(_LINES) + 1) / 2)
    legend = lines_of(rows, SMALL) * 1.35 + 0.15 if rows else 0.0
    figure, axes = blank(5.0, 4.2, Margins(0.6, 0.5 + legend), title)
    for i, (_, _, ranked) in enumerate(curves[len(_LINES) :]):
        label = f"{len(curves) - len(_LINES)} better classes" if i == 0 else None
        axes.plot(*_curve(ranked), color=GREY, lw=0.8, label=label)
    for (area, name, ranked), (colour, dashes) in reversed(list(zip(curves, _LINES, strict=False))):
        axes.plot(*_curve(ranked), dashes, color=colour, lw=1.6, label=f"{short(name)}  AP {area:.3f}")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xticks=_SHARES, yticks=_SHARES)
    axes.grid(alpha=0.3)
    name_axes(axes, "recall", "precision")
    if curves:
        figure.legend(fontsize=SMALL, loc="lower center", ncols=2)
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
    names, sizes = [short(c["name"]) for c in shown], [f"n = {count(c['n'])}" for c in shown]
    left_out = f" (the worst {len(shown)} of {len(present)})" if len(shown) < len(present) else ""
    margins = Margins(breadth(names, PLAIN) + 0.2, 0.5, breadth(sizes, PLAIN) + 0.2)
    figure, axes = blank(4.5, 0.28 * max(len(shown), 2), margins, f"{short(title, 40)}{left_out}")
    places = np.arange(len(shown))
    axes.add_collection(
        PolyCollection([bar[:, ::-1] for bar in bars(places - 0.4, 0.8, recall)], facecolor=SKY)
    )
    axes.hlines(places, low, high, color=BLUE, lw=1.4)
    axes.plot(np.append(low, high), np.append(places, places), "|", color=BLUE, ms=6)
    for place, name, size in zip(places.tolist(), names, sizes, strict=True):
        axes.text(-0.015, place, name, ha="right", va="center", fontsize=PLAIN)
        axes.text(1.015, place, size, va="center", fontsize=PLAIN)
    axes.set(xlim=(0, 1), ylim=(max(len(shown), 1) - 0.4, -0.6), xticks=_SHARES, yticks=[])
    name_axes(axes, "recall, 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
