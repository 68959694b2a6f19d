"""What the figures share: matplotlib `Figure`s on the Agg canvas, colours, and names of bearable length.

No pyplot: it keeps every figure alive in global state, which leaks in a run that draws each epoch. The
colours are Okabe and Ito's, which people with any colour blindness tell apart; maps are Blues and viridis.

A finished run draws ten figures, and a sweep of small runs would spend most of its time on them, so they are made
cheaply: margins from measured text where matplotlib's layouts draw everything twice, one `Axes` for many pictures,
plain text where a tick costs five objects (scripts/bench_sweep shows what is left of it).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#AAAAAA"
DOTS_PER_INCH = 100
SMALL, PLAIN, LARGE = 8, 9, 11  # points
_LINE = 1.25 / 72  # inches of height of a line, for each point of its size


class Margins(NamedTuple):
    """Inches around the axes of a figure."""

    left: float
    bottom: float
    right: float = 0.15
    top: float = 0.4


def laid_out(width: float, height: float) -> Figure:
    """An empty figure, in inches, in which matplotlib makes room for whatever labels it gets: slow, for reports."""
    figure = Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    )
    FigureCanvasAgg(figure)
    return figure


def blank(width: float, height: float, margins: Margins, title: str = "") -> tuple[Figure, Axes]:
    """A figure whose axes measure (width, height) inches within the margins; the title is above them."""
    wide, high = margins.left + width + margins.right, margins.bottom + height + margins.top
    figure = Figure(figsize=(wide, high), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((margins.left / wide, margins.bottom / high, width / wide, height / high))
    if title:
        # not the axes' own title: matplotlib measures every label to place it
        fitting = short(title, max(20, int(wide * 72 / LARGE / 0.62)))
        figure.text(0.5, 1 - 0.1 / high, fitting, ha="center", va="top", fontsize=LARGE)
    return figure, axes


def breadth(texts: Sequence[str], size: float) -> float:
    """Inches that the longest of some lines takes at a size in points."""
    renderer, font = _measuring.get_renderer(), FontProperties(size=size)
    longest = sorted(texts, key=len)[-3:]  # the widest is one of them, or about as wide
    widths = [renderer.get_text_width_height_descent(words, font, False)[0] for words in longest]
    return float(max(widths, default=0.0)) / DOTS_PER_INCH


def lines_of(n: int, size: float) -> float:
    """Inches of height that `n` lines of a size in points take."""
    return n * size * _LINE


def bars(
    left: NDArray[Any], width: float, height: NDArray[Any], base: float = 0.0
) -> list[NDArray[np.float64]]:
    """The corners, n times (4, 2), of bars that stand on a base: one artist for all, where `bar` makes one for each."""
    x = np.stack([left, left, left + width, left + width], axis=1)
    y = np.stack([np.zeros(len(height)), height, height, np.zeros(len(height))], axis=1) + base
    return list(np.stack([x, y], axis=2))


def name_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Say what the axes are."""
    axes.set_xlabel(x, fontsize=PLAIN)
    axes.set_ylabel(y, fontsize=PLAIN)
    axes.tick_params(labelsize=SMALL)


def short(name: str, most: int = 24) -> str:
    """A long name with its middle left out: its ends tell classes and files apart. "$" starts no formula."""
    kept = most // 2 - 1
    cut = name if len(name) <= most else f"{name[:kept]}...{name[-kept:]}"
    return cut.replace("$", r"\$")


_measuring = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=DOTS_PER_INCH))
