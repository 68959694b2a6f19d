"""A report in the terminal: means, comparisons, effects and Pareto fronts, each a table of at most 80 columns."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import Group, RenderableType

from leyden.reporting.comparison import notes
from leyden.reporting.comparison.distinguishing_keys import heading
from leyden.reporting.comparison.effects import Level, Share
from leyden.reporting.comparison.report import COSTS, Part, Report, Row
from leyden.reporting.comparison.statistics import Comparison
from leyden.reporting.format import UNKNOWN, count, duration, estimate, number, si_number
from leyden.reporting.fused_runs import FusedRun
from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.utils.text import percent, plural

COST_HEADS = ("parameters", "FLOPs", "time/run")  # headings of COSTS, in the same order
MOST_ROWS = 20  # rows of a part in the terminal; the baseline and trivial models are always shown
_MAX_EFFECTS = 8
_MARKS, _MIN_WIDTH = 11, 4  # columns: the words of marks are not broken; a key's values may be
_ROOM = 80 - 3 - 6 - 7 - 6 - _MARKS - 6 * 2  # for keys and n: without #, the numbers, marks, and gaps of two
_VALIDATION = 6 + 2  # a number and its gap
_ROUNDING = 1e-12  # a difference below it is rounding error
_STYLES = {"best": "bold green", "simplest": "green", "baseline": "bold", "trivial": "dim"}


def report(found: Report) -> RenderableType:
    """Format all parts and the notes."""
    parts = [item for part in found.parts for item in _part(part)]
    parts += _fused(found.fused)
    return Group(*parts, note("\n".join(notes.of_report(found))))


def _fused(runs: Sequence[FusedRun]) -> Iterator[RenderableType]:
    """Yield the table of runs with several inputs beside runs on each of them, and what to type for those missing."""
    if not runs:
        return
    table = plain_table("what fusion adds", *((name, "left") for name in FUSED_HEADS))
    for run in runs[:MOST_ROWS]:
        table.add_row(*map(text, fused_cells(run)))
    yield table
    yield note("\n".join(notes.of_fused(runs)))


FUSED_HEADS = ("run", "all inputs", "product", "all - product", "each input: by this net / a run of its own")


def fused_cells(run: FusedRun) -> tuple[str, ...]:
    """Format a run with several inputs: its values by all and by each, and those of runs on one input alone."""
    each = (f"{name} {number(value)} / {number(run.own(name))}" for name, value in run.alone.items())
    gain = UNKNOWN if run.gain is None else estimate(asdict(run.gain))
    name = f"{run.record.name.rpartition('-')[2]} seed {run.record.keys.get('seed')}"
    return name, f"{number(run.whole)} ({run.split}/{run.metric})", number(run.product), gain, "\n".join(each)


def _part(part: Part) -> Iterator[RenderableType]:
    yield _means(part)
    lines = [*_hidden_rows(part), *notes.of_part(part)]
    if lines:
        yield note("\n".join(lines))
    if part.baseline is not None:
        yield _comparisons(part)
        yield note("\n".join(notes.of_comparison(part)))
    if part.effects.keys:
        yield _effects(part)
    if len(part.scored) > 2:
        yield _pareto_fronts(part)


def _means(part: Part) -> RenderableType:
    table = plain_table(f"{part.title}: {part.heading}", ("#", "right"))
    rows = visible_rows(part)
    for name, width in zip(*_key_columns(part, rows), strict=True):
        table.add_column(name, overflow="fold", min_width=width)
    for name in ("n", *validation_heads(part), "mean", "+- 95 %", "sd"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold", min_width=_MARKS)
    for row in rows:
        style = next((_STYLES[mark] for mark in row.marks if mark in _STYLES), "")
        warning = any(map(is_warning, row.marks))
        marks = text(", ".join([*row.marks, *_states(row)]), "yellow" if warning else style)
        mean = text(number(row.summary.mean if row.summary else None), style)
        sd = number(row.summary.sd if row.summary else None)
        numbers: tuple[RenderableType, ...] = (*validation_cells(part, row), mean, _half(row), sd)
        table.add_row(str(row.number), *map(text, (*row.values, row.group.counted)), *numbers, marks)
    return table


def _key_columns(part: Part, rows: Sequence[Row]) -> tuple[list[str], list[int]]:
    """Return the headings of the keys, broken at dots and underscores, and widths that fit into the table."""
    names = [name.replace("_", "_\n").replace(".", ".\n") for name in short_headings(part.columns)]
    widths = [
        max(map(len, [*name.split("\n"), *(row.values[place] for row in rows)]))
        for place, name in enumerate(names)
    ]
    room = _ROOM - max(len(row.group.counted) for row in rows) - 2 * len(names)
    room -= _VALIDATION * len(validation_heads(part))
    while sum(widths) > room and max(widths) > _MIN_WIDTH:
        widths[widths.index(max(widths))] -= 1
    return names, widths


def validation_heads(part: Part) -> tuple[str, ...]:
    """Return the heading of the column of validation means; none if there are none, or they are what is shown."""
    shown = part.metric.split != "val" and any(row.validation for row in part.rows)
    return ("val",) if shown else ()


def validation_cells(part: Part, row: Row) -> tuple[str, ...]:
    """Format the validation mean for `validation_heads`."""
    return (number(row.validation.mean if row.validation else None),) * len(validation_heads(part))


def _states(row: Row) -> list[str]:
    """Return the numbers of unfinished runs by state, as text."""
    return [f"{n} {state}" for state, n in row.group.states().items()]


def short_headings(columns: Sequence[str]) -> list[str]:
    """Shorten headings: `lr` for optimizer.lr, if no other column ends in `lr`."""
    names = [heading(key) for key in columns]
    last = [name.rpartition(".")[2] for name in names]
    return [end if last.count(end) == 1 else name for name, end in zip(names, last, strict=True)]


def _half(row: Row) -> str:
    """Format half the width of the interval."""
    summary = row.summary
    return UNKNOWN if summary is None else number(summary.half)


def format_interval(row: Row) -> str:
    """Format the interval of the mean over replicates as `[low, high]`."""
    return UNKNOWN if row.interval is None else f"[{number(row.interval[0])}, {number(row.interval[1])}]"


def is_warning(mark: str) -> bool:
    """Whether a row's mark is a warning: not (significantly) better than a trivial baseline."""
    return mark.startswith("not ")


def visible_rows(part: Part) -> list[Row]:
    """Return the best rows, the baseline and the trivial models."""
    wanted = {row.number for row in part.rows[:MOST_ROWS]}
    wanted |= {row.number for row in part.rows if "baseline" in row.marks or row.group.trivial}
    return [row for row in part.rows if row.number in wanted]


def _hidden_rows(part: Part) -> list[str]:
    hidden = len(part.rows) - len(visible_rows(part))
    return [f"{plural(hidden, 'more group')} not listed: use --csv, --markdown or --html"] if hidden else []


def _comparisons(part: Part) -> RenderableType:
    assert part.baseline is not None
    title = f"compared with the baseline, #{part.baseline.number} ({part.baseline.label})"
    table = plain_table(title, ("#", "right"), ("", "left"), ("diff", "right"), ("95 % interval", "right"))
    for name in ("p Holm", "effect", "MDE", "pairs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in visible_rows(part):
        if row.comparison is not None:
            table.add_row(*_comparison_cells(row, row.comparison, part.higher))
    return table


def _comparison_cells(row: Row, test: Comparison, higher: bool) -> Iterator[RenderableType]:
    result = verdict(test, higher)
    style = {"better": "bold green", "worse": "bold red"}.get(result, "")
    yield str(row.number)
    yield text(f"{row.label}: {result}" if test.significant else row.label, style)
    yield text(format_signed(test.difference), style)
    yield format_limits(test)
    yield format_p(test.adjusted)
    yield UNKNOWN if test.effect is None else f"{test.measure} {test.effect:+.1f}"
    yield number(test.detectable)
    yield {"Welch's t": "Welch", "partly paired t": f"{test.pairs} partly"}.get(test.test, str(test.pairs))


def verdict(test: Comparison, higher: bool) -> str:
    """Return `better`, `worse`, `not significant` or `not tested`."""
    if test.p is None:
        return "not tested"
    if not test.significant:
        return "not significant"
    return "better" if (test.difference > 0) == higher else "worse"


def format_effect(test: Comparison) -> str:
    """Format the effect size with the name of its measure: `d_z = +1.25`."""
    return UNKNOWN if test.effect is None else f"{test.measure} = {test.effect:+.2f}"


def format_test(test: Comparison) -> str:
    """Format the name of the test and how many replicates it uses, or the reason why there is none."""
    if not test.test:
        return test.reason
    pairs = f"{plural(test.pairs, 'pair')} of " if test.pairs and test.test != "Welch's t" else ""
    return f"{test.test}, {pairs}{test.of}"


def format_signed(value: float | None) -> str:
    """Format a number with its sign."""
    if value is None:
        return UNKNOWN
    size = 0.0 if abs(value) < _ROUNDING else abs(value)
    sign = "-" if value < 0 and size else "+"
    return f"{sign}{size:.4f}" if 1e-4 <= size < 1e-3 else f"{sign}{number(size)}"


def format_limits(found: Comparison | Level) -> str:
    """Format the interval of a difference as `[low, high]`, nothing if there is none."""
    return "" if found.low is None else f"[{format_signed(found.low)}, {format_signed(found.high)}]"


def format_p(p: float | None) -> str:
    """Format a p value with three decimals, as `<0.001` below that."""
    if p is None:
        return UNKNOWN
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _effects(part: Part) -> RenderableType:
    table = plain_table(
        f"main effects and interactions on {part.metric}",
        ("key", "left"),
        ("share", "right"),
        ("p Holm", "right"),
    )
    for name, side in (("value", "left"), ("effect", "right"), ("95 % interval", "right")):
        table.add_column(name, justify=side, overflow="fold", no_wrap=side == "right")  # type: ignore[arg-type]
    for share in part.effects.keys[:_MAX_EFFECTS]:
        for index, level in enumerate(share.levels[:_MAX_EFFECTS]):
            first = (
                (text(share.names[0]), share_text(share), format_p(share.p)) if not index else ("", "", "")
            )
            table.add_row(*first, text(level.value), format_signed(level.difference), format_limits(level))
    for pair in part.effects.pairs[:_MAX_EFFECTS]:
        table.add_row(text(" x ".join(pair.names)), share_text(pair), format_p(pair.p), "", "", "")
    return Group(table, note("\n".join(notes.of_effects(part))))


def share_text(share: Share) -> str:
    """Of the runs' variance."""
    return percent(share.share)


def _pareto_fronts(part: Part) -> RenderableType:
    """Format the groups on a Pareto front of the metric and a cost."""
    table = plain_table(f"Pareto fronts of {part.chosen_by} and cost", ("#", "right"), ("", "left"))
    for name in ("mean", *COST_HEADS):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("optimal in", overflow="fold")
    for row in front_rows(part):
        mean = number(row.choice.mean if row.choice else None)
        table.add_row(str(row.number), text(row.label), mean, *format_costs(row), format_fronts(row))
    return table


def front_rows(part: Part) -> list[Row]:
    """Return the rows on at least one Pareto front, the best first."""
    return [row for row in part.rows if row.fronts][:MOST_ROWS]


def format_costs(row: Row) -> tuple[str, str, str]:
    """Format the costs for the columns COST_HEADS."""
    parameters, flops, seconds = row.costs
    return count(parameters), si_number(flops), duration(seconds)


def format_fronts(row: Row) -> str:
    """Format the costs on whose Pareto front the row is: `parameters, FLOPs, time`."""
    names = dict(zip(COSTS, ("parameters", "FLOPs", "time"), strict=True))
    return ", ".join(names[cost] for cost in row.fronts)
