"""What `leyden find` found, as a table and as figures."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from rich.console import RenderableType

from leyden.reporting.format import count, scaled
from leyden.reporting.plots.style import BLUE, GREEN, GREY, ORANGE, PLAIN, VERMILION, laid_out, name_axes
from leyden.reporting.terminal.layout import plain_table, text

_MARKS = ((ORANGE, "-"), (GREEN, "-."), (VERMILION, "--"), (GREY, ":"))


def batch_table(rows: Sequence[tuple[int, float, int, float]], suggestion: int) -> RenderableType:
    """Size, samples a second, bytes and seconds a step."""
    table = plain_table(
        "training steps",
        *(
            ("batch size", "right"),
            ("samples/s", "right"),
            ("ms a step", "right"),
            ("memory", "right"),
            ("", "left"),
        ),
    )
    best = max(row[1] for row in rows)
    for size, throughput, memory, seconds in rows:
        word = "suggested" if size == suggestion else f"{throughput / best:.0%} of the best"
        numbers = (count(size), count(throughput), f"{1000 * seconds:.3g}", scaled(memory, "B"))
        table.add_row(*numbers, text(word, "green" if size == suggestion else "dim"))
    return table


def rate_figure(rates: ArrayLike, losses: ArrayLike, marks: Mapping[str, float]) -> Figure:
    """Loss against the learning rate (n,), with rates that have a name."""
    figure = laid_out(7.0, 4.4)
    axes = figure.subplots()
    axes.set_title("learning-rate range test")
    axes.plot(rates, losses, color=BLUE, lw=1.6)
    axes.set_xscale("log")
    for (name, rate), (colour, line) in zip(marks.items(), _MARKS, strict=True):
        _mark(axes, rate, colour, line, f"{name}: {rate:.2g}")
    name_axes(axes, "learning rate", "training loss")
    return _finished(figure, axes)


def batch_figure(rows: Sequence[tuple[int, float, int]], suggestion: int, now: int) -> Figure:
    """Throughput, and as a second axis the memory, against the batch size."""
    sizes, throughput, memory = zip(*rows, strict=True)
    figure = laid_out(7.5, 4.4)
    axes = figure.subplots()
    axes.set_title("training steps")
    axes.plot(sizes, throughput, "o-", color=BLUE, lw=1.6, ms=4, label="samples a second")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_ylim(bottom=0)
    _mark(axes, suggestion, ORANGE, "-", f"suggested: {suggestion:,}")
    _mark(axes, now, GREY, ":", f"configured: {now:,}")
    name_axes(axes, "batch size", "samples a second")
    other = axes.twinx()
    other.plot(sizes, [bytes_ / 1e6 for bytes_ in memory], "s--", color=VERMILION, lw=1.2, ms=3)
    other.set_ylim(bottom=0)
    name_axes(other, "", "memory, MB")
    other.yaxis.label.set_color(VERMILION)
    return _finished(figure, axes)


def _mark(axes: Axes, place: float, colour: str, line: str, words: str) -> None:
    axes.axvline(place, color=colour, ls=line, lw=1.4, label=words)


def _finished(figure: Figure, axes: Axes) -> Figure:
    axes.legend(fontsize=PLAIN, frameon=False)
    axes.spines["top"].set_visible(False)
    return figure
