"""The results of `leyden find` as a table and as figures."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from rich.console import RenderableType

from leyden.reporting.format import count, si_number
from leyden.reporting.plots.style import BLUE, GREEN, GREY, ORANGE, PLAIN, VERMILION, name_axes, new_figure
from leyden.reporting.terminal.layout import plain_table, text
from leyden.utils.text import percent

_MARKS = ((ORANGE, "-"), (GREEN, "-."), (VERMILION, "--"), (GREY, ":"))


def batch_table(rows: Sequence[tuple[int, float, int, float, int]], suggestion: int) -> RenderableType:
    """Format the rows (batch size, samples per second, bytes, seconds per step, steps an epoch) as a table."""
    table = plain_table(
        "training steps",
        *(
            ("batch size", "right"),
            ("samples/s", "right"),
            ("ms/step", "right"),
            ("memory", "right"),
            ("steps/epoch", "right"),
            ("", "left"),
        ),
    )
    best = max(row[1] for row in rows)
    for size, throughput, memory, seconds, steps in rows:
        comment = "suggested" if size == suggestion else f"{percent(throughput / best, 2)} of the best"
        numbers = (
            count(size),
            count(throughput),
            f"{1000 * seconds:.3g}",
            si_number(memory, "B"),
            count(steps),
        )
        table.add_row(*numbers, text(comment, "green" if size == suggestion else "dim"))
    return table


def rate_figure(rates: ArrayLike, losses: ArrayLike, marks: Mapping[str, float]) -> Figure:
    """Plot the loss (n,) over the learning rate (n,), with vertical lines at the rates of `marks`."""
    figure = new_figure(7.0, 4.4)
    axes = figure.subplots()
    axes.set_title("learning-rate range test")
    axes.plot(rates, losses, color=BLUE, lw=1.6)
    axes.set_xscale("log")
    for (name, rate), (colour, line) in zip(marks.items(), _MARKS, strict=True):
        _mark(axes, rate, colour, line, f"{name}: {rate:.2g}")
    name_axes(axes, "learning rate", "training loss")
    return _add_legend(figure, axes)


def batch_figure(rows: Sequence[tuple[int, float, int]], suggestion: int, now: int) -> Figure:
    """Plot throughput (samples/s) and, on a second axis, memory (MB) over the batch size.

    rows: (batch size, samples per second, bytes); now: the configured batch size.
    """
    sizes, throughput, memory = zip(*rows, strict=True)
    figure = new_figure(7.5, 4.4)
    axes = figure.subplots()
    axes.set_title("training steps")
    axes.plot(sizes, throughput, "o-", color=BLUE, lw=1.6, ms=4, label="samples/s")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_ylim(bottom=0)
    _mark(axes, suggestion, ORANGE, "-", f"suggested: {suggestion:,}")
    _mark(axes, now, GREY, ":", f"configured: {now:,}")
    name_axes(axes, "batch size", "samples/s")
    other = axes.twinx()
    other.plot(sizes, [bytes_ / 1e6 for bytes_ in memory], "s--", color=VERMILION, lw=1.2, ms=3)
    other.set_ylim(bottom=0)
    name_axes(other, "", "memory, MB")
    other.yaxis.label.set_color(VERMILION)
    return _add_legend(figure, axes)


def _mark(axes: Axes, x: float, colour: str, line: str, label: str) -> None:
    axes.axvline(x, color=colour, ls=line, lw=1.4, label=label)


def _add_legend(figure: Figure, axes: Axes) -> Figure:
    axes.legend(fontsize=PLAIN, frameon=False)
    axes.spines["top"].set_visible(False)
    return figure
