"""Two kinds of figure that several evaluations draw: a matrix of counts, and bars with intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leyden.reporting.format import count
from leyden.reporting.plots.fast_figure import Margins, Sheet, bars
from leyden.reporting.plots.lettering import lines_of, max_width, width_of
from leyden.reporting.plots.style import BLACK, BLUE, CARD, SKY, SMALL, short

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_MOST_PRINTED = 20  # classes up to which counts are printed into the cells
_MOST_NAMED = 60  # classes up to which every one is named on an axis
_MOST_BARS = 40
_CELL = 0.25  # inches of a matrix's cell with a count in it


def count_matrix(
    counts: NDArray[Any], shares: NDArray[Any], names: Sequence[str], axes: tuple[str, str], title: str = ""
) -> Figure:
    """Counts (C, C), coloured by shares (C, C) of 0 .. 1; axes: what columns and rows are."""
    classes = len(counts)
    few = classes <= _MOST_PRINTED
    size = SMALL if few else 7
    places = range(0, classes, math.ceil(classes / _MOST_NAMED))
    shown = [short(names[c], 18) for c in places]
    room = max_width(shown, size) + 0.1
    words = lines_of(1, SMALL) + 0.1
    margins = Margins(room + words, room + words)
    side = max(CARD - margins.left - margins.right, _CELL * classes) if few else 8.0
    # a class is one unit wide, its middle at its number; the first row on top
    ends = (-0.5, classes - 0.5)
    sheet = Sheet(side, side, margins, title, ends, ends[::-1])
    # of many classes a confusion takes a small share: the root makes it visible
    depth = np.rint(255 * (shares if few else np.sqrt(shares))).astype(np.int64)
    blues = mpl.colormaps["Blues"](np.arange(256), bytes=True)[:, :3]
    sheet.pixels(blues[depth], (ends[0], ends[1]), (ends[1], ends[0]))
    sheet.frame()
    for place, name in zip(places, shown, strict=True):
        sheet.text(place, ends[1], name, size=size, ha="center", va="top", rotated=True, offset=(0, -0.05))
        sheet.text(ends[0], place, name, size=size, ha="right", offset=(-0.05, 0))
    sheet.axis_labels(*axes, (room + 0.05, room + 0.05))
    if few:
        _print_counts(sheet, counts, shares)
    return sheet.picture


def _print_counts(sheet: Sheet, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    """Zeros are left blank: what is there is what was confused."""
    longest = str(counts.max(initial=0))
    size = next((s for s in (SMALL, 7, 6) if width_of(longest, s) < _CELL - 0.04), 5)
    for row, column in np.argwhere(counts).tolist():
        colour = "white" if shares[row, column] > 0.55 else BLACK
        sheet.text(column, row, str(counts[row, column]), size=size, colour=colour, ha="center")


def interval_bars(
    entries: Sequence[Mapping[str, Any]],
    metric: str,
    axis: str,
    title: str = "",
    chance: Sequence[float] | None = None,
) -> Figure:
    """A metric (0 .. 1) of each class or label with its interval and n, the worst on top; above 40 the worst 40.

    Args:
        entries: each with name, n and the stored Estimate of the metric.
        metric: its key.
        axis: what the axis is called.
        title: above all.
        chance: of each entry what a guess reaches, drawn as a line across its bar.
    """
    guesses = [None] * len(entries) if chance is None else list(chance)
    ranked = sorted(zip(entries, guesses, strict=True), key=lambda e: (e[0][metric]["value"], e[0]["name"]))
    shown = [entry for entry, _ in ranked[:_MOST_BARS]]
    value = [c[metric]["value"] for c in shown]
    names, sizes = [short(c["name"]) for c in shown], [f"n = {count(c['n'])}" for c in shown]
    left_out = f" (the worst {len(shown)} of {len(ranked)})" if len(shown) < len(ranked) else ""
    margins = Margins(max_width(names, SMALL) + 0.2, 0.5, max_width(sizes, SMALL) + 0.2)
    rows, places = max(len(shown), 1), np.arange(len(shown))
    wide = max(1.5, CARD - margins.left - margins.right)
    sheet = Sheet(
        *(wide, 0.24 * max(rows, 2), margins, f"{short(title, 40)}{left_out}"), y=(rows - 0.4, -0.6)
    )
    sheet.areas([bar[:, ::-1] for bar in bars(places - 0.4, 0.8, value)], SKY)
    if chance is not None:
        at = np.array([guess for _, guess in ranked[:_MOST_BARS]], dtype=float)
        sheet.segments(np.column_stack((at, places - 0.4)), np.column_stack((at, places + 0.4)), BLACK, 1.4)
    _whiskers(sheet, [c[metric] for c in shown])
    for place, name, size in zip(places.tolist(), names, sizes, strict=True):
        sheet.text(0, place, name, ha="right", offset=(-0.07, 0))
        sheet.text(1, place, size, offset=(0.07, 0))
    sheet.frame(open_=True)
    sheet.ticks(SHARES)
    sheet.axis_labels(axis)
    return sheet.picture


def _whiskers(sheet: Sheet, estimates: Sequence[Mapping[str, Any]]) -> None:
    """The interval of each bar from the top, where it has one."""
    found = [(e["low"], e["high"], place) for place, e in enumerate(estimates) if e["low"] is not None]
    low, high, places = np.array(found, dtype=float).reshape(-1, 3).T
    sheet.segments(np.column_stack((low, places)), np.column_stack((high, places)), BLUE, 1.4)
    caps, beside = np.append(low, high), np.append(places, places)
    sheet.segments(np.column_stack((caps, beside - 0.15)), np.column_stack((caps, beside + 0.15)), BLUE)
