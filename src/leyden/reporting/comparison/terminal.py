"""A report in the terminal: means, comparisons, effects and trade-offs, each a table of at most 80 columns."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from leyden.reporting.comparison import notes
from leyden.reporting.comparison.distinguishing_keys import heading
from leyden.reporting.comparison.effects import Share
from leyden.reporting.comparison.report import COSTS, Part, Report, Row
from leyden.reporting.comparison.statistics import Comparison
from leyden.reporting.format import UNKNOWN, duration, number, plural, scaled
from leyden.reporting.terminal.layout import note, plain_table, text

COST_HEADS = ("parameters", "FLOPs", "time a run")  # of the costs in the order of COSTS
MOST_ROWS = 20  # of a part, in the terminal; baseline and trivial models are shown whatever their place
_MOST_EFFECTS = 8
_MARKS, _NARROWEST = 9, 4  # columns: the marks' words do not fold; a key's values do
_ROOM = 80 - 3 - 6 - 7 - 6 - _MARKS - 6 * 2  # for keys and n: less #, the numbers, marks, and gaps of two
_ROUNDING = 1e-12  # a difference below it is none
_STYLES = {"best": "bold green", "simplest": "green", "baseline": "bold", "trivial": "dim"}


def report(found: Report) -> RenderableType:
    """Everything, part by part."""
    parts = [item for part in found.parts for item in _part(part, found)]
    return Group(*parts, note("\n".join(notes.of_report(found))))


def _part(part: Part, found: Report) -> Iterator[RenderableType]:
    yield _means(part, found)
    said = [*_unshown(part), *notes.of_part(part)]
    if said:
        yield note("\n".join(said))
    if part.baseline is not None:
        yield _comparisons(part, found)
        yield note("\n".join(notes.of_comparison(part)))
    if part.effects.keys:
        yield _effects(part)
    if len(part.scored) > 2:
        yield _trade_offs(part, found)


def _means(part: Part, found: Report) -> RenderableType:
    better = "higher" if found.higher else "lower"
    table = plain_table(f"{part.title}: {found.metric}, {better} is better", ("#", "right"))
    rows = shown_rows(part)
    for name, width in zip(*_key_columns(part, rows), strict=True):
        table.add_column(name, overflow="fold", min_width=width)
    for name in ("n", "mean", "+- 95 %", "sd"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold", min_width=_MARKS)
    for row in rows:
        style = next((_STYLES[mark] for mark in row.marks if mark in _STYLES), "")
        warned = any("beat" in mark for mark in row.marks)
        marks = text(", ".join([*row.marks, *_states(row)]), "yellow" if warned else style)
        mean = text(number(row.summary.mean if row.summary else None), style)
        numbers = (row.group.counted, mean, _half(row), number(row.summary.sd if row.summary else None))
        table.add_row(str(row.number), *map(text, row.values), *numbers, marks)
    return table


def _key_columns(part: Part, rows: Sequence[Row]) -> tuple[list[str], list[int]]:
    """Their headings, broken at dots and underscores, and widths that leave room for the rest of the table."""
    names = [name.replace("_", "_\n").replace(".", ".\n") for name in short_headings(part.columns)]
    widths = [
        max(map(len, [*name.split("\n"), *(row.values[place] for row in rows)]))
        for place, name in enumerate(names)
    ]
    room = _ROOM - max(len(row.group.counted) for row in rows) - 2 * len(names)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return names, widths


def _states(row: Row) -> list[str]:
    """What of it is not finished."""
    return [f"{n} {state}" for state, n in row.group.states().items()]


def short_headings(columns: Sequence[str]) -> list[str]:
    """`lr` for optimizer.lr where no other column ends so."""
    names = [heading(key) for key in columns]
    last = [name.rpartition(".")[2] for name in names]
    return [end if last.count(end) == 1 else name for name, end in zip(names, last, strict=True)]


def _half(row: Row) -> str:
    """Half the width of the interval."""
    summary = row.summary
    return UNKNOWN if summary is None else number(summary.half)


def interval(row: Row) -> str:
    """`[low, high]` of the mean over seeds."""
    return UNKNOWN if row.interval is None else f"[{number(row.interval[0])}, {number(row.interval[1])}]"


def shown_rows(part: Part) -> list[Row]:
    """The best, and those that are named whatever their place."""
    wanted = {row.number for row in part.rows[:MOST_ROWS]}
    wanted |= {row.number for row in part.rows if "baseline" in row.marks or row.group.trivial}
    return [row for row in part.rows if row.number in wanted]


def _unshown(part: Part) -> list[str]:
    hidden = len(part.rows) - len(shown_rows(part))
    return [f"{plural(hidden, 'more group')}: --csv, --markdown and --html have all"] if hidden else []


def _comparisons(part: Part, found: Report) -> RenderableType:
    assert part.baseline is not None
    title = f"against the baseline, #{part.baseline.number} ({part.baseline.label})"
    table = plain_table(title, ("#", "right"), ("", "left"), ("differs", "right"), ("95 % interval", "right"))
    for name in ("p Holm", "effect", "could\nshow", "pairs"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in shown_rows(part):
        if row.comparison is not None:
            table.add_row(*_comparison_cells(row, row.comparison, found.higher))
    return table


def _comparison_cells(row: Row, test: Comparison, higher: bool) -> Iterator[RenderableType]:
    said = verdict(test, higher)
    style = {"better": "bold green", "worse": "bold red"}.get(said, "")
    yield str(row.number)
    yield text(f"{row.label}: {said}" if test.shown else row.label, style)
    yield text(signed(test.difference), style)
    yield "" if test.low is None else f"[{signed(test.low)}, {signed(test.high)}]"
    yield p_word(test.adjusted)
    yield UNKNOWN if test.effect is None else f"{test.measure} {test.effect:+.1f}"
    yield number(test.detectable)
    yield str(test.pairs) if test.test != "Welch's t" else "Welch"


def verdict(test: Comparison, higher: bool) -> str:
    """better, worse, not shown, or not tested."""
    if test.p is None:
        return "not tested"
    if not test.shown:
        return "not shown"
    return "better" if (test.difference > 0) == higher else "worse"


def effect_word(test: Comparison) -> str:
    """`d_z = +1.25`, with the name of the measure."""
    return UNKNOWN if test.effect is None else f"{test.measure} = {test.effect:+.2f}"


def test_word(test: Comparison) -> str:
    """How it was tested, or why it was not."""
    return f"{test.test}, {plural(test.pairs, 'pair')}" if test.test == "paired t" else test.test or test.why


def signed(value: float | None) -> str:
    """With its sign."""
    if value is None:
        return UNKNOWN
    size = 0.0 if abs(value) < _ROUNDING else abs(value)
    sign = "-" if value < 0 and size else "+"
    return f"{sign}{size:.4f}" if 1e-4 <= size < 1e-3 else f"{sign}{number(size)}"


def p_word(p: float | None) -> str:
    """Three decimals, and never zero."""
    if p is None:
        return UNKNOWN
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _effects(part: Part) -> RenderableType:
    table = plain_table("which keys matter", ("key", "left"), ("share", "right"), ("p Holm", "right"))
    for name, side in (("value", "left"), ("effect", "right"), ("95 % interval", "right")):
        table.add_column(name, justify=side, overflow="fold", no_wrap=side == "right")  # type: ignore[arg-type]
    for share in part.effects.keys[:_MOST_EFFECTS]:
        for place, level in enumerate(share.levels[:_MOST_EFFECTS]):
            first = (text(share.names[0]), _percent(share), p_word(share.p)) if not place else ("", "", "")
            limits = f"[{signed(level.low)}, {signed(level.high)}]"
            table.add_row(*first, text(level.value), signed(level.difference), limits)
    for pair in part.effects.pairs[:_MOST_EFFECTS]:
        table.add_row(text(" x ".join(pair.names)), _percent(pair), p_word(pair.p), "", "", "")
    left = f"share of the runs' variance; {part.effects.residual:.0%} is left to seeds and higher orders; an effect "
    return Group(table, note(f"{left}is a value's difference from the mean over the key's values"))


def _percent(share: Share) -> str:
    return f"{share.share:.1%}"


def _trade_offs(part: Part, found: Report) -> RenderableType:
    """The groups on a front."""
    table = plain_table(f"best trade-offs of {found.metric} and cost", ("#", "right"), ("", "left"))
    for name in ("mean", *COST_HEADS):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("on the front of", overflow="fold")
    for row in front_rows(part):
        mean = number(row.summary.mean if row.summary else None)
        table.add_row(str(row.number), text(row.label), mean, *cost_words(row), fronts_word(row))
    return table


def front_rows(part: Part) -> list[Row]:
    """On one of the fronts, the best first."""
    return [row for row in part.rows if row.fronts][:MOST_ROWS]


def cost_words(row: Row) -> tuple[str, str, str]:
    """Under COST_HEADS."""
    parameters, flops, seconds = row.costs
    return whole(parameters), scaled(flops), duration(seconds)


def fronts_word(row: Row) -> str:
    """`parameters, FLOPs, time`."""
    words = dict(zip(COSTS, ("parameters", "FLOPs", "time"), strict=True))
    return ", ".join(words[cost] for cost in row.fronts)


def whole(value: float | None) -> str:
    """A count."""
    return UNKNOWN if value is None else f"{value:,.0f}"
