"""What a report says in words under its tables: what was not counted, what is missing, how to read a number."""

from collections import Counter
from collections.abc import Iterator, Sequence

from leyden.reporting.comparison.distinguishing_keys import heading
from leyden.reporting.comparison.groups import TRIVIAL
from leyden.reporting.comparison.report import Part, Report
from leyden.reporting.comparison.statistics import LEVEL
from leyden.reporting.format import number, plural
from leyden.runs.query import UNSET
from leyden.runs.records import Record

_NAMED = 5  # runs; of more only the number is said


def of_report(report: Report) -> Iterator[str]:
    """About all of it."""
    for record in report.left_out[:_NAMED]:
        if record.problem:
            yield f"Left out: {record.problem}"
    unsaid = [record for record in report.left_out if not record.problem]
    unsaid += [record for record in report.left_out[_NAMED:] if record.problem]
    if unsaid:
        yield f"Left out, without a readable result.json: {names(unsaid)}"
    yield (
        "Intervals are 95 % t intervals of the mean over seeds: the luck of the samples is not in them. "
        "One seed has no interval."
    )
    if report.metric.split == "test" and any(len(part.scored) > 1 for part in report.parts):
        yield (
            f"The best of many by {report.metric} is flattered by the choice: choose by --metric "
            f"val/{report.metric.name} and take the chosen one's {report.metric}."
        )


def of_part(part: Part) -> Iterator[str]:
    """About one experiment on the same data."""
    yield from _not_counted(part)
    yield from _mixed(part)
    yield from _pooled(part)
    yield from _simplest(part)
    yield from _trivial(part)
    if part.baseline is None and len(part.scored) > 1:
        yield f"--baseline {_example(part)} tests the others against it."


def of_comparison(part: Part) -> Iterator[str]:
    """How the comparisons with the baseline were made, and what they found."""
    tested = [row.comparison for row in part.rows if row.comparison and row.comparison.p is not None]
    if tested:
        claimed = sum(comparison.shown for comparison in tested)
        yield (
            f"{claimed} of {plural(len(tested), 'difference')} shown at {100 * LEVEL:g} %: p is adjusted by Holm over "
            f"all {len(tested)}, the intervals are not. Could show: the smallest true difference that as many "
            "seeds, spread as these are, find with 80 % power."
        )
    if any(row.group.shared for row in part.scored):
        yield "Folds share training data: errors are corrected for that (Nadeau and Bengio 2003)."
    reasons = Counter(row.comparison.why for row in part.rows if row.comparison and row.comparison.why)
    for why, n in reasons.items():
        yield f"{plural(n, 'group')} not tested: {why}."


def _not_counted(part: Part) -> Iterator[str]:
    unfinished = [run for row in part.rows for run in row.group.unfinished]
    if unfinished:
        states = ", ".join(f"{n} {state}" for state, n in Counter(run.state for run in unfinished).items())
        yield f"Not averaged, {states}: {names(unfinished)}"
    without = [run for row in part.rows for run in row.group.without]
    if without:
        yield f"Complete, but without the metric: {names(without)}"
    repeated = [run for row in part.rows for run in row.group.repeated]
    if repeated:
        yield f"Same configuration and seed as a newer run, which is counted instead: {names(repeated)}"


def _mixed(part: Part) -> Iterator[str]:
    made = Counter(
        " ".join(f"{name} {version}" for name, version in (run.result.get("made_with") or {}).items())
        for row in part.rows
        for run in row.group.runs.values()
    )
    if len(made) > 1:
        each = "; ".join(f"{plural(n, 'run')} by {by or 'unknown versions'}" for by, n in made.items())
        yield f"Made with different software: {each}"


def _pooled(part: Part) -> Iterator[str]:
    """Folds: what the summed confusion matrices say, of the first few."""
    for row in [row for row in part.rows if row.pooled][:_NAMED]:
        assert row.pooled is not None
        parts = f"{plural(row.group.seeds, 'seed')} x {plural(row.group.folds, 'fold')}"
        limits = "" if row.pooled.low is None else f" [{number(row.pooled.low)}, {number(row.pooled.high)}]"
        yield f"#{row.number}: {parts}; accuracy of the summed confusion matrices {number(row.pooled.value)}{limits}"


def _simplest(part: Part) -> Iterator[str]:
    if part.simplest is None or len(part.scored) < 2:
        return
    best = part.scored[0]
    if best.number == part.simplest.number:
        yield f"No simpler group is within one standard error of the best, #{best.number} ({best.label})."
    else:
        yield f"Simplest within one standard error of the best: #{part.simplest.number} ({part.simplest.label})."


def _trivial(part: Part) -> Iterator[str]:
    missing = [name for name in TRIVIAL if all(row.group.trivial != name for row in part.scored)]
    if missing:
        asked = " ".join([*_choice(part), f"model={','.join(missing)}"])
        many = " -m" if len(missing) > 1 else ""
        yield f"What is there to beat? leyden train{many} {asked}"


def _choice(part: Part) -> list[str]:
    """What chooses the experiment, or without one the data, on the command line."""
    if part.cohort.experiment != "default":
        return [f"experiment={part.cohort.experiment}"]
    return [f"data={part.cohort.data_name}"]


def _example(part: Part) -> str:
    """Terms that name the last row, or a trivial one."""
    row = next((row for row in part.scored if row.group.trivial), part.scored[-1])
    terms = zip(map(heading, part.columns), row.values, strict=True)
    return " ".join(f"{key}={value}" for key, value in terms if value not in (UNSET, "")) or "model=..."


def names(records: Sequence[Record]) -> str:
    """A few runs by name, and how many more."""
    named = ", ".join(record.name for record in records[:_NAMED])
    return named + (f" and {len(records) - _NAMED:,} more" if len(records) > _NAMED else "")
