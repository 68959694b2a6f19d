"""A report as one self-contained HTML page: tables and figures in which every number links to its runs.

    text = page(report, Path("reports"))      # links to run folders are relative to that folder

To add a figure to each part, write a function (Part) -> Section or None and add it to SECTIONS; pass
sections that belong to no part, such as a search's study, to `page` as `more`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from leyden.reporting.comparison import notes
from leyden.reporting.comparison.distinguishing_keys import heading
from leyden.reporting.comparison.effects import Level, Share
from leyden.reporting.comparison.html_plots import Section, bar, bar_scale, learning_curves, pareto_fronts
from leyden.reporting.comparison.html_runs import cell, group_section, run_section, table
from leyden.reporting.comparison.html_style import CSS, document, escape
from leyden.reporting.comparison.report import Part, Report, Row
from leyden.reporting.comparison.terminal import (
    COST_HEADS,
    format_costs,
    format_effect,
    format_interval,
    format_limits,
    format_p,
    format_signed,
    format_test,
    is_warning,
    share_text,
    validation_cells,
    validation_heads,
    verdict,
)
from leyden.reporting.format import number
from leyden.utils.text import plural

SECTIONS: list[Callable[[Part], Section | None]] = [learning_curves, pareto_fronts]
_MAX_LINKS = 12  # groups linked next to an effect


def page(report: Report, folder: Path, more: Iterable[Section] = ()) -> str:
    """Return the whole page as HTML.

    Args:
        report: to format.
        folder: of the page; links to run folders are relative to it.
        more: sections after the parts.
    """
    title = f"{report.metrics} of {plural(len(list(report.rows)), 'group')}"
    return document(f"Leyden report: {title}", _body(report, folder, more), CSS)


def _body(report: Report, folder: Path, more: Iterable[Section]) -> Iterator[str]:
    runs = sum(1 for row in report.rows for _ in row.group.all_runs())
    yield f"<h1>{escape(report.metrics)}</h1>"
    yield (
        f'<p class="dim">{plural(len(list(report.rows)), "group")} of {plural(runs, "run")}. '
        "Every number links to its runs.</p>"
    )
    yield _list(notes.of_report(report))
    if len(report.parts) > 1:
        links = (f'<a href="#p{i}">{escape(part.title)}</a>' for i, part in enumerate(report.parts))
        yield f"<nav>{''.join(links)}</nav>"
    for place, part in enumerate(report.parts):
        yield from _part(part, place)
    for section in more:
        yield f'\n<h2>{escape(section.title)}</h2><div class="more">{section.html}</div>'
    yield "\n<h2>Groups</h2>"
    for part in report.parts:
        for row in part.rows:
            yield group_section(row, part)
    yield "\n<h2>Runs</h2>"
    for part in report.parts:
        for row in part.rows:
            for run in row.group.all_runs():
                yield run_section(run, row, part, folder)


def _list(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _part(part: Part, place: int) -> Iterator[str]:
    yield f'\n<h2 id="p{place}">{escape(part.title)}</h2>'
    yield f'<p class="dim">{escape(part.heading)}.</p>'
    yield _means(part)
    yield _list(notes.of_part(part))
    if part.baseline is not None:
        link = f'<a href="#g{part.baseline.number}">#{part.baseline.number} {escape(part.baseline.label)}</a>'
        yield f"<h3>Compared with the baseline, {link}</h3>{_comparisons(part)}"
        yield _list(notes.of_comparison(part))
    for make in SECTIONS:
        section = make(part)
        if section is not None:
            yield f"<h3>{escape(section.title)}</h3>{section.html}"
    if part.effects.keys:
        yield f"<h3>Main effects and interactions on {escape(str(part.metric))}</h3>{_effects(part, place)}"
        yield _list(notes.of_effects(part))


def _means(part: Part) -> str:
    header = [
        ("#", "n"),
        *((heading(key), "") for key in part.columns),
        ("", ""),
        ("n", "n"),
        *((name, "n") for name in validation_heads(part)),
        ("mean", "n"),
    ]
    header += [("", ""), ("95 % interval", "n"), ("sd", "n")]
    header += [(name, "n") for name in COST_HEADS]
    scale = bar_scale(part)
    return table(header, ("".join(_mean_cells(part, row, bar(row, scale))) for row in part.rows))


def _mean_cells(part: Part, row: Row, drawing: str) -> Iterator[str]:
    to, summary = f"#g{row.number}", row.summary
    yield cell(f"#{row.number}", "n", to)
    for value in row.values:
        yield cell(value)
    yield f"<td>{marks(row)}</td>"
    yield cell(row.group.counted, "n", to)
    for mean in validation_cells(part, row):
        yield cell(mean, "n", to)
    yield cell(number(summary.mean if summary else None), "n good" if "best" in row.marks else "n", to)
    yield f"<td>{drawing}</td>"
    yield cell(format_interval(row), "n", to)
    yield cell(number(summary.sd if summary else None), "n", to)
    for cost in format_costs(row):
        yield cell(cost, "n", to)


def marks(row: Row) -> str:
    """Format a row's marks and unfinished runs as small labels."""
    labels = [(mark, "warn" if is_warning(mark) else "good" if mark == "best" else "") for mark in row.marks]
    labels += [("Pareto-optimal", "")] if row.fronts else []
    labels += [(f"{n} {state}", "warn") for state, n in row.group.states().items()]
    return "".join(f'<span class="mark {kind}">{escape(label)}</span>' for label, kind in labels)


def _comparisons(part: Part) -> str:
    header = [("#", "n"), ("group", ""), ("difference", "n"), ("", ""), ("95 % interval", "n"), ("p", "n")]
    header += [("p by Holm", "n"), ("effect size", "n"), ("MDE", "n"), ("test", "")]
    return table(
        header, (_comparison_cells(row, part.higher) for row in part.rows if row.comparison is not None)
    )


def _comparison_cells(row: Row, higher: bool) -> str:
    test, to = row.comparison, f"#g{row.number}"
    if test is None:
        return ""
    result = verdict(test, higher)
    numbers = (
        format_limits(test),
        format_p(test.p),
        format_p(test.adjusted),
        format_effect(test),
        number(test.detectable),
    )
    kind = {"better": "good", "worse": "warn"}.get(result, "")
    cells = [
        cell(f"#{row.number}", "n", to),
        cell(row.label),
        cell(format_signed(test.difference), f"n {kind}", to),
        cell(result, kind or "dim"),
        *(cell(number, "n", to) for number in numbers),
        cell(format_test(test)),
    ]
    return "".join(cells)


def _effects(part: Part, place: int) -> str:
    header = [
        ("key", ""),
        ("share", "n"),
        ("p by Holm", "n"),
        ("value", ""),
        ("effect", "n"),
        ("95 % interval", "n"),
    ]
    rows = [
        _effect_cells(share, level, first == 0, part, place)
        for share in part.effects.keys
        for first, level in enumerate(share.levels)
    ]
    for pair in part.effects.pairs:
        cells = cell(" x ".join(pair.names), "") + cell(share_text(pair), "n", f"#p{place}")
        rows.append(cells + cell(format_p(pair.p), "n", f"#p{place}") + "<td></td>" * 4)
    return table([*header, ("groups", "w")], rows)


def _effect_cells(share: Share, level: Level, first: bool, part: Part, place: int) -> str:
    of_key = [share.names[0], share_text(share), format_p(share.p)] if first else [""] * 3
    groups = _with_value(part, share.names[0], level.value)
    to = f"#g{groups[0].number}" if groups else f"#p{place}"
    links = " ".join(f'<a href="#g{row.number}">#{row.number}</a>' for row in groups[:_MAX_LINKS])
    more = f" and {len(groups) - _MAX_LINKS} more" if len(groups) > _MAX_LINKS else ""
    cells = [
        cell(of_key[0]),
        *(cell(number, "n", f"#p{place}") for number in of_key[1:]),
        cell(level.value),
        cell(format_signed(level.difference), "n", to),
        cell(format_limits(level), "n", to),
        f'<td class="w">{links}{more}</td>',
    ]
    return "".join(cells)


def _with_value(part: Part, names: str, value: str) -> Sequence[Row]:
    """Return the groups of non-trivial models with a value of a key, or of keys that vary together."""
    places = [list(map(heading, part.columns)).index(name) for name in names.split(" + ")]
    return [
        row
        for row in part.scored
        if not row.group.trivial and " ".join(row.values[place] for place in places) == value
    ]
