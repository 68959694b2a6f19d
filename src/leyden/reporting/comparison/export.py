"""A report as Markdown and as CSV. Markdown is rounded like the terminal; CSV has full precision, a row per group."""

from collections.abc import Iterator, Sequence
from typing import Any

from leyden.reporting import markdown as md
from leyden.reporting.comparison import notes
from leyden.reporting.comparison.distinguishing_keys import heading
from leyden.reporting.comparison.report import COSTS, Part, Report, Row
from leyden.reporting.comparison.terminal import (
    COST_HEADS,
    FUSED_HEADS,
    format_costs,
    format_effect,
    format_fronts,
    format_interval,
    format_limits,
    format_p,
    format_signed,
    format_test,
    fused_cells,
    share_text,
    validation_cells,
    validation_heads,
    verdict,
)
from leyden.reporting.csv_text import csv_text
from leyden.reporting.format import UNKNOWN, number

_COMPARISON = (
    "difference",
    "error",
    "low",
    "high",
    "p",
    "adjusted",
    "effect",
    "measure",
    "detectable",
    "pairs",
    "used",
    "of",
    "test",
)
_VALIDATION = ("n", "mean", "sd", "low", "high")  # of a Summary


def markdown(report: Report) -> str:
    """Return all tables and notes of the report as Markdown."""
    blocks = [block for part in report.parts for block in _part(part)]
    if report.fused:
        blocks += ["## what fusion adds", md.table(FUSED_HEADS, map(fused_cells, report.fused))]
        blocks.append(_list(notes.of_fused(report.fused)))
    return "\n\n".join([*blocks, _list(notes.of_report(report))]) + "\n"


def _list(items: Iterator[str]) -> str:
    return "\n".join(f"- {md.escape(item)}" for item in items)


def _part(part: Part) -> Iterator[str]:
    yield f"## {md.escape(f'{part.title}: {part.heading}')}"
    keys = [heading(key) for key in part.columns]
    header = [
        "#",
        *keys,
        "n",
        *validation_heads(part),
        "mean",
        "95 % interval",
        "sd",
        *COST_HEADS,
        "Pareto-optimal in",
        "",
    ]
    yield md.table(header, (_mean_row(part, row) for row in part.rows))
    part_notes = _list(notes.of_part(part))
    if part_notes:
        yield part_notes
    if part.baseline is not None:
        yield f"### Compared with the baseline, #{part.baseline.number} ({md.escape(part.baseline.label)})"
        names = [
            "#",
            "group",
            "difference",
            "",
            "95 % interval",
            "p",
            "p by Holm",
            "effect size",
            "MDE",
            "test",
        ]
        yield md.table(names, (_comparison_row(row, part.higher) for row in part.rows if row.comparison))
        yield _list(notes.of_comparison(part))
    if part.effects.keys:
        yield f"### Main effects and interactions on {md.escape(str(part.metric))}"
        yield md.table(["key", "share", "p by Holm", "value", "effect", "95 % interval"], _effect_rows(part))
        yield _list(notes.of_effects(part))


def _mean_row(part: Part, row: Row) -> Sequence[str]:
    summary = row.summary
    marks = [*row.marks, *(f"{n} {state}" for state, n in row.group.states().items())]
    return [
        *(str(row.number), *row.values, row.group.counted, *validation_cells(part, row)),
        number(summary.mean if summary else None),
        *(format_interval(row), number(summary.sd if summary else None)),
        *(*format_costs(row), format_fronts(row), ", ".join(marks)),
    ]


def _comparison_row(row: Row, higher: bool) -> Sequence[str]:
    test = row.comparison
    assert test is not None
    difference = (
        md.Markup(f"**{format_signed(test.difference)}**")
        if test.significant
        else format_signed(test.difference)
    )
    numbers = [format_p(test.p), format_p(test.adjusted), format_effect(test), number(test.detectable)]
    result = [verdict(test, higher), format_limits(test) or UNKNOWN]
    return [str(row.number), row.label, difference, *result, *numbers, format_test(test)]


def _effect_rows(part: Part) -> Iterator[Sequence[str]]:
    for share in part.effects.keys:
        for index, level in enumerate(share.levels):
            first = (share.names[0], share_text(share), format_p(share.p)) if not index else ("", "", "")
            yield [
                *first,
                level.value,
                format_signed(level.difference),
                format_limits(level),
            ]
    for pair in part.effects.pairs:
        yield [" x ".join(pair.names), share_text(pair), format_p(pair.p), "", "", ""]


def table(report: Report) -> str:
    """Return CSV: experiment, data, every key that distinguishes groups of any part, numbers; empty if missing."""
    keys = list(dict.fromkeys(key for part in report.parts for key in part.columns))
    names = [
        "experiment",
        "data",
        *map(heading, keys),
        "metric",
        "n",
        "over",
        "runs",
        "seeds",
        "folds",
        "mean",
        "sd",
        "low",
        "high",
        "chosen_by",
        *(f"val_{name}" for name in _VALIDATION),
    ]
    header = [*names, *COSTS, "fronts", "marks", *_heads(), "unfinished", "pooled", "folders"]
    return csv_text([header, *(_csv_row(row, part, keys) for part in report.parts for row in part.rows)])


def _heads() -> list[str]:
    """Return the headings of the columns of the comparison with the baseline."""
    return [f"baseline_{name}" for name in (*_COMPARISON, "verdict")]


def _csv_row(row: Row, part: Part, keys: Sequence[str]) -> list[Any]:
    own = dict(zip(part.columns, row.values, strict=True))
    group, summary, limits = row.group, row.summary, row.interval or ("", "")
    means = [summary.mean, summary.sd] if summary else ["", ""]
    compared = [getattr(row.comparison, name) if row.comparison else "" for name in _COMPARISON]
    compared += [verdict(row.comparison, part.higher) if row.comparison else ""]
    unfinished = " ".join(f"{state}={n}" for state, n in group.states().items())
    folders = " ".join(str(run.folder) for run in group.runs.values())
    return [
        *(part.cohort.experiment, part.cohort.data_name, *(own.get(key, "") for key in keys), part.metric),
        *(len(group.sample.values), group.over if group.runs else "", len(group.runs)),
        *(group.seeds, group.folds, *means, *limits, part.chosen_by),
        *(getattr(row.validation, name, "") for name in _VALIDATION),
        *row.costs,
        *(" ".join(row.fronts), "; ".join(row.marks), *compared, unfinished),
        *(row.pooled.value if row.pooled else "", folders),
    ]
