"""Maps of a run's answers in the terminal: what is explained, where it is highest, whether the map can be trusted."""

from collections.abc import Sequence

from rich.console import Group, RenderableType

from leyden.reporting.explained_inputs import ExplainedInputs
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


def inputs_table(samples: Sequence[ExplainedInputs]) -> RenderableType:
    """Format a row for each sample with what each of its inputs adds; below, the maps within inputs."""
    table = plain_table("")
    table.add_column("sample", no_wrap=True)
    for name in ("truth", "answer"):
        table.add_column(name)
    names = list(dict.fromkeys(name for sample in samples for name in sample.shares))
    for name in ("no input", *names, "all"):
        table.add_column(name, justify="right", no_wrap=True)
    for sample in samples:
        shares = (sample.shares[name] for name in names)
        table.add_row(
            *(
                text(_name(sample)),
                text(sample.truth),
                text(sample.answer),
                format(sample.nothing_score, ".3g"),
            ),
            *("absent" if share is None else format(share, "+.3g") for share in shares),
            format(sample.score, ".3g"),
        )
    explained = and_more(sorted({sample.scalar for sample in samples}), _SCALARS)
    nothing = ", ".join(sorted({sample.nothing for sample in samples}))
    shared = note(
        f"What each input adds: exact Shapley values over all subsets of the inputs. Explained: {explained}; of no "
        f"input: {nothing}."
    )
    maps = [one for sample in samples for one in sample.maps.values()]
    without = {name: why for sample in samples for name, why in sample.without.items()}
    missing = [note(f"{name}: no map: {why}") for name, why in without.items()]
    return Group(table, shared, *([explanations_table(maps)] if maps else []), *missing)


def _name(sample: ExplainedSample | ExplainedInputs) -> str:
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
