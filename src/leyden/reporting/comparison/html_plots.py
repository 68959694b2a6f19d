"""The figures of the report's page: intervals of the means, learning curves with bands, Pareto fronts."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leyden.reporting.comparison import svg
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.comparison.report import COSTS, Part, Row, clip_interval
from leyden.reporting.comparison.statistics import Summary, summarise
from leyden.reporting.comparison.terminal import COST_HEADS, format_costs
from leyden.reporting.format import number
from leyden.runs.records import Record
from leyden.utils.errors import UserError
from leyden.utils.text import and_more, plural

MOST_CURVES = svg.COLOURS
_MAX_WHISKERS = 20  # groups whose intervals a scale includes
_ENDS = 2  # ranges of the means: distance up to which a scale includes the ends of intervals
_ROOM = 0.05  # half the range of a scale with a single mean, as a share of the mean
_BAR, _BAR_HEIGHT = 150, 18  # pixels of the plot next to a mean


class Section(NamedTuple):
    """A section of the page: a title and HTML."""

    title: str
    html: str


def bar_scale(part: Part) -> svg.Scale | None:
    """Return the common scale of a part's bars; None if there is only one mean."""
    shown = [(row.summary.mean, row.interval) for row in part.scored if row.summary]
    return svg.scale(_scale_values(shown), 2, _BAR - 2) if len(shown) > 1 else None


def _scale_values(shown: Sequence[tuple[float, tuple[float, float] | None]]) -> list[float]:
    """Return the values that a scale must include: all means, and the ends of intervals close to them."""
    means = [mean for mean, _ in shown]
    low, high = min(means), max(means)
    spread = (high - low) or _ROOM * abs(low) or 1.0
    ends = [end for _, interval in shown[:_MAX_WHISKERS] if interval for end in interval]
    return [*means, *(v for v in ends if low - _ENDS * spread <= v <= high + _ENDS * spread)]


def bar(row: Row, scale: svg.Scale | None) -> str:
    """Draw the mean as a dot and its interval as a line."""
    if scale is None or row.summary is None:
        return ""
    middle = _BAR_HEIGHT / 2
    line = ""
    if row.interval is not None:
        low, high = (min(max(scale.at(end), 0), _BAR) for end in row.interval)
        line = f'<line class="whisker" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>'
    dot = f'<circle class="dot" cx="{scale.at(row.summary.mean)}" cy="{middle}" r="3.5"/>'
    return f'<svg class="bar" viewBox="0 0 {_BAR} {_BAR_HEIGHT}" aria-hidden="true">{line}{dot}</svg>'


def learning_curves(part: Part) -> Section | None:
    """Plot mean and spread over runs by epoch, for the best groups, the baseline and trivial models."""
    rows = _selected_rows(part)
    damaged: list[str] = []
    curves = {row.number: [_curves(run, damaged) for run in row.group.runs.values()] for row in rows}
    name = _curve_name(part, curves)
    bands = {row.number: _band(curves[row.number], name) for row in rows}
    plotted = [row for row in rows if len(bands[row.number]) > 1]
    if not plotted:
        return None
    x_ends, y_ends = svg.inner()
    x = svg.scale([epoch for row in plotted for epoch in bands[row.number]], *x_ends, whole=True)
    summaries = [s for row in plotted for s in bands[row.number].values()]
    y = svg.scale([s.mean + sign * (s.sd or 0) for s in summaries for sign in (-1, 1)], *y_ends)
    content = "".join(_curve(row, place, bands[row.number], x, y) for place, row in enumerate(plotted))
    drawing = svg.frame(x, y, "epoch", name, content, f"learning curves: {name} by epoch")
    caption = f"{name}: mean +- standard deviation over the runs of a group."
    hidden = len(part.scored) - len(plotted)
    if hidden:
        caption += f" {plural(hidden, 'more group')} not plotted."
    if damaged:
        caption += f" Without the runs of which metrics.csv is damaged: {escape(and_more(damaged, 5))}."
    return Section(
        "Learning curves", f"<figure>{drawing}{_legend(plotted)}<figcaption>{caption}</figcaption></figure>"
    )


def _curves(run: Record, damaged: list[str]) -> list[dict[str, float]]:
    """Return a run's curves; of a damaged file none, and the run's name is appended."""
    try:
        return run.curves()
    except UserError:
        damaged.append(run.name)
        return []


def _selected_rows(part: Part) -> list[Row]:
    references = [row for row in part.scored if "baseline" in row.marks or row.group.trivial]
    best = [row for row in part.scored if row not in references]
    selected = [*best[: max(MOST_CURVES - len(references), 1)], *references][:MOST_CURVES]
    return sorted(selected, key=lambda row: row.number)


def _curve_name(part: Part, curves: Mapping[int, Sequence[Sequence[Mapping[str, float]]]]) -> str:
    """Return the column to plot: the metric on the validation split, or else the loss."""
    known = {key for of_group in curves.values() for curve in of_group for line in curve[:1] for key in line}
    wanted = f"val/{part.metric.name}"
    return wanted if wanted in known else "val/loss" if "val/loss" in known else "train/loss"


def _band(curves: Sequence[Sequence[Mapping[str, float]]], name: str) -> dict[float, Summary]:
    """Summarise the runs by epoch; later epochs may have fewer runs."""
    values: dict[float, list[float]] = {}
    for curve in curves:
        for line in curve:
            if "epoch" in line and math.isfinite(line.get(name, math.nan)):
                values.setdefault(line["epoch"], []).append(line[name])
    return {epoch: summarise(found) for epoch, found in sorted(values.items())}


def _curve(row: Row, colour: int, band: Mapping[float, Summary], x: svg.Scale, y: svg.Scale) -> str:
    upper = [(x.at(epoch), y.at(s.mean + (s.sd or 0))) for epoch, s in band.items()]
    lower = [(x.at(epoch), y.at(s.mean - (s.sd or 0))) for epoch, s in band.items()]
    middle = [(x.at(epoch), y.at(s.mean)) for epoch, s in band.items()]
    area = f'<path class="band" d="{svg.path([*upper, *reversed(lower)])}Z"/>'
    line = f'<path class="curve" d="{svg.path(middle)}"/>'
    return f'<a href="#g{row.number}" class="c{colour}"><title>{_title(row)}</title>{area}{line}</a>'


def _title(row: Row) -> str:
    mean = number(row.summary.mean if row.summary else None)
    return escape(f"#{row.number} {row.label}: {mean}")


def _legend(rows: Sequence[Row]) -> str:
    items = (
        f'<li class="c{place}"><span class="key"></span><a href="#g{row.number}">#{row.number} '
        f"{escape(row.label)}</a></li>"
        for place, row in enumerate(rows)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def pareto_fronts(part: Part) -> Section | None:
    """Plot the metric against each cost, with the Pareto front as steps."""
    drawings = [_pareto_front(part, place) for place in range(len(COSTS))]
    if not any(drawings):
        return None
    simplest = part.simplest
    caption = f"{part.chosen_by}: groups on the steps are Pareto-optimal, none is both cheaper and better. "
    caption += "Bars: 95 % intervals of the means."
    if any(0 in row.costs for row in part.scored):
        caption += " A cost of 0 is at the left end."
    if simplest is not None:
        caption += (
            f' The simplest within one standard error of the best is <a href="#g{simplest.number}">'
            f"#{simplest.number} {escape(simplest.label)}</a>."
        )
    plots = f'<div class="pair">{"".join(drawings)}</div>'
    return Section("Pareto fronts", f"<figure>{plots}<figcaption>{caption}</figcaption></figure>")


def _pareto_front(part: Part, place: int) -> str:
    x_ends, y_ends = svg.inner()
    points = [(row.costs[place], row.choice.mean, row) for row in part.rows if row.choice is not None]
    costs = {cost for cost, _, _ in points if cost is not None}
    if len(costs) < 2:
        return ""
    intervals = {row.number: clip_interval(row.choice, part.chosen_by) for _, _, row in points}
    y = svg.scale(_scale_values([(mean, intervals[row.number]) for _, mean, row in points]), *y_ends)
    x = svg.scale([cost for cost in costs if cost > 0], *x_ends, log=True)
    # a logarithmic axis has no 0: such a point is at its left end
    known = [(cost or x.low, mean, row) for cost, mean, row in points if cost is not None]
    front = sorted(((cost, mean) for cost, mean, row in known if COSTS[place] in row.fronts))
    labels: list[tuple[float, float]] = []
    dots = "".join(
        _point((cost, mean, intervals[row.number]), row, COSTS[place], (x, y), labels)
        for cost, mean, row in known
    )
    name = ("parameters", "FLOPs per sample", "seconds of training")[place]
    content = _steps(front, x, y) + dots
    return svg.frame(x, y, name, str(part.chosen_by), content, f"{part.chosen_by} against {name}")


def _steps(front: Sequence[tuple[float, float]], x: svg.Scale, y: svg.Scale) -> str:
    points: list[tuple[float, float]] = []
    for cost, mean in front:
        if points:
            points.append((x.at(cost), points[-1][1]))
        points.append((x.at(cost), y.at(mean)))
    if points:
        points.append((x.end, points[-1][1]))
    return f'<path class="front" d="{svg.path(points)}"/>' if points else ""


def _point(
    values: tuple[float, float, tuple[float, float] | None],
    row: Row,
    kind: str,
    scales: tuple[svg.Scale, svg.Scale],
    labels: list[tuple[float, float]],
) -> str:
    """Draw a dot that links to its group; important ones get their interval, and their number if there is room.

    values: cost, mean and interval.
    """
    (x, y), (cost, mean, interval) = scales, values
    at, up, on = x.at(cost), y.at(mean), kind in row.fronts
    costs = escape(
        ", ".join(f"{name} {value}" for name, value in zip(COST_HEADS, format_costs(row), strict=True))
    )
    tooltip = f"{_title(row)}, {costs}"
    dot = f'<circle class="{"dot" if on else "dot off"}" cx="{at}" cy="{up}" r="{5 if on else 4}"/>'
    extra = ""
    if on or "baseline" in row.marks or row.group.trivial:
        extra = _whisker(interval, at, y) + _number(row, at, up, x.end, labels)
    return f'<a href="#g{row.number}"><title>{tooltip}</title>{extra}{dot}</a>'


def _whisker(interval: tuple[float, float] | None, at: float, y: svg.Scale) -> str:
    if interval is None:
        return ""
    low, high = (y.at(end) for end in interval)
    return f'<line class="whisker" x1="{at}" x2="{at}" y1="{low}" y2="{high}"/>'


def _number(row: Row, at: float, up: float, end: float, labels: list[tuple[float, float]]) -> str:
    """Draw `#3` above or below the point, or nothing if it would overlap other labels, whose positions are `labels`."""
    for shift in (-6, 15):
        if all(abs(at - x) > 30 or abs(up + shift - y) > 11 for x, y in labels):
            labels.append((at, up + shift))
            side = f'x="{at - 8}" text-anchor="end"' if at > end - 30 else f'x="{at + 8}"'
            return f'<text class="tick" {side} y="{up + shift:g}">#{row.number}</text>'
    return ""
