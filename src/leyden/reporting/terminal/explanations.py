"""Maps of a run's answers in the terminal: what is explained, where it is highest, whether the map can be trusted."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from leyden.reporting.explained_sample import ExplainedSample
from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.utils.text import and_more, percent, plural

VERDICTS = {True: "passed", False: "failed", None: ""}
_SCALARS = 4


def explanations_table(samples: Sequence[ExplainedSample]) -> RenderableType:
    """Format a row for each sample; what they have in common stands below."""
    table = plain_table("")
    for name in ("input", "test"):
        table.add_column(name, no_wrap=True)
    for name in ("truth", "answer"):
        table.add_column(name)
    for name in ("score", "from", "sum off"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("highest at")
    for sample in samples:
        off = "" if sample.sum_error is None else percent(sample.sum_error, 2)
        table.add_row(
            *(text(_name(sample)), text(VERDICTS[sample.heat.passes], _style(sample.heat.passes))),
            *(text(sample.truth), text(sample.answer)),
            *(format(sample.score, ".3g"), format(sample.baseline_score, ".3g"), off),
            text(sample.strongest),
        )
    return Group(table, *map(note, _notes(samples)))


def _name(sample: ExplainedSample) -> str:
    """With its row in parentheses, unless it ends with it."""
    name, row = sample.name, sample.row
    return name if row is None or name.endswith(f" {row}") else f"{name} ({row})"


def _style(passes: bool | None) -> str:
    return {True: "green", False: "yellow", None: "dim"}[passes]


def _notes(samples: Sequence[ExplainedSample]) -> list[str]:
    """What is explained, by what and from where; and why maps did not pass."""
    scalars = and_more(sorted({sample.heat.scalar for sample in samples}), _SCALARS)
    how = "; ".join(sorted({f"{sample.heat.method}, from {sample.heat.baseline}" for sample in samples}))
    lines = [f"{plural(len(samples), 'map')} by {how}.\nExplained: {scalars}."]
    return lines + [f"{_name(s)}: {s.heat.verdict}" for s in samples if s.heat.passes is False]
