"""The notes under a report's tables: excluded runs, missing baselines, how to interpret the numbers."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from leyden.reporting.comparison.distinguishing_keys import heading
from leyden.reporting.comparison.groups import TRIVIAL, Metric
from leyden.reporting.comparison.report import Part, Report
from leyden.reporting.comparison.statistics import LEVEL
from leyden.reporting.format import normaliser_note, number, unit_of
from leyden.reporting.fused_runs import FusedRun
from leyden.runs.query import UNSET
from leyden.runs.records import Record
from leyden.utils.text import and_more, percent, plural

_OF_DATA = ("experiment", "task", "data", "split", "data_root", "runs", "cache")  # keys of a command
_MAX_NAMES = 5  # runs listed by name; of the others only the number is given


def of_report(report: Report) -> Iterator[str]:
    """Yield the notes on the whole report."""
    for record in report.left_out[:_MAX_NAMES]:
        if record.problem:
            yield f"Excluded: {record.problem}"
    others = [record for record in report.left_out if not record.problem]
    others += [record for record in report.left_out[_MAX_NAMES:] if record.problem]
    if others:
        yield f"Excluded, no readable result.json: {names(others)}"
    yield (
        "Intervals are 95 % t intervals of the mean over what each table names. Over seeds on one split, neither the "
        "draw of the split nor the sampling of its test samples is included. A single replicate has no interval."
    )


def of_fused(runs: Sequence[FusedRun]) -> Iterator[str]:
    """Yield the notes on runs with several inputs, and the commands of runs on one input that there are not."""
    yield (
        "Product: of the answers of the runs on one input alone, sum log p - (M - 1) log prior, without joint "
        "training. The difference is paired, over the rows (Bonett and Price 2012). A run on one input counts if data, "
        "split and seed are the same; of several the one that validation prefers."
    )
    commands = dict.fromkeys(command for run in runs for command in run.missing())
    for command in list(commands)[:_MAX_NAMES]:
        yield f"Missing: {command}"


def of_part(part: Part) -> Iterator[str]:
    """Yield the notes on one experiment on the same data."""
    yield from _selection(part)
    yield from _excluded_runs(part)
    yield from _mixed_versions(part)
    yield from _over(part)
    if normalised := _normaliser(part):
        yield normalised
    yield from _pooled(part)
    yield from _simplest(part)
    yield from _trivial(part)
    if part.effects.reason and part.effects.n:
        yield f"No table of main effects: {part.effects.reason}."
    if part.baseline is None and len(part.scored) > 1:
        yield f"To test the other groups against one: --baseline {_example(part)}"


def of_comparison(part: Part) -> Iterator[str]:
    """Yield the notes on the comparisons with the baseline: significant differences, method, skipped tests."""
    tested = [row.comparison for row in part.rows if row.comparison and row.comparison.p is not None]
    if tested:
        significant = sum(comparison.significant for comparison in tested)
        yield (
            f"{significant} of {plural(len(tested), 'difference')} significant at {100 * LEVEL:g} %: p is adjusted by "
            f"Holm over all {len(tested)}, the intervals are not. MDE: minimum detectable effect, the smallest true "
            "difference that the same number of runs with this spread detects with 80 % power."
        )
    if part.chosen_by != part.metric:
        yield f"The differences are of {part.metric}, which took no part in the choice; a baseline picked by it would."
    for row in [row for row in part.rows if row.paired is not None and row.paired.value is not None]:
        found = row.paired
        assert found is not None
        limits = "" if found.low is None else f" [{number(found.low)}, {number(found.high)}]"
        over = unit_of(found.method)
        yield f"#{row.number}, WER on the same recordings, less the baseline's: {number(found.value)}{limits}, {over}."
    unused = [
        f"#{row.number} {row.comparison.used} of {row.comparison.of}"
        for row in part.rows
        if row.comparison and row.comparison.unused
    ]
    if unused:
        yield f"Paired tests leave out values without a partner; used of both groups: {and_more(unused, _MAX_NAMES)}."
    reasons = Counter(row.comparison.reason for row in part.rows if row.comparison and row.comparison.reason)
    for reason, n in reasons.items():
        yield f"{plural(n, 'group')} not tested: {reason}."


def of_effects(part: Part) -> Iterator[str]:
    """Yield the notes on the main effects: over what, a share of what, tested against what, what is left out."""
    found, groups = part.effects, [row.group for row in part.scored if not row.group.trivial]
    one = max(Counter(group.unit for group in groups))
    common = f", compared within {plural(found.replicates, 'common ' + one)}" if found.replicates else ""
    between = f"{percent(found.between, 2)} of it lies between {one}s, " if found.replicates > 1 else ""
    against = f"the variation from {one} to {one}" if found.replicates > 1 else "the residual"
    wider = "; both allow for overlapping training sets" if any(group.overlap for group in groups) else ""
    yield (
        f"Over {plural(found.n, 'value')}, one for each group and {one}{common}: an effect is a value's difference "
        "from the mean over the key's values, the other keys held constant. A share is of the variance of these "
        f"values; {between}{percent(found.residual, 2)} is the residual. p is by F tests against {against}, which may "
        f"differ between values, adjusted by Holm over keys and pairs; the intervals are not adjusted{wider}."
    )
    if found.alone:
        yield f"{plural(found.alone, 'value')} left out of the effects: no other group has the same {one}."


def _selection(part: Part) -> Iterator[str]:
    """Yield what chose between the groups, and what that means for the values shown."""
    if len(part.scored) < 2:
        return
    shown, of_val, of_test = part.metric, f"val/{part.metric.name}", Metric("test", part.metric.name)
    if part.chosen_by != shown:
        yield (
            f"Chosen by {part.chosen_by}: its mean (val) sorts the rows and marks the best, the simplest and the "
            f"Pareto-optimal. Mean, interval and tests are of {shown}, which took no part in the choice, so that the "
            "best row's value is not inflated by it."
        )
        last = [f"#{row.number}" for row in part.scored if row.choice is None]
        if last:
            yield f"Without {of_val}, so last, and not chosen between: {and_more(last, _MAX_NAMES)}"
        return
    yield f"Selected on {shown.split}: {shown} itself sorts and marks the rows, which inflates the best row's value."
    if shown.split == "test" and any(row.validation for row in part.scored):
        yield f"To choose by {of_val} and show {shown}: --metric {shown.name}"
    elif shown.split == "test":
        yield f"No run has {of_val} to choose by."
    elif not any(of_test.of(run) is not None for row in part.rows for run in row.group.runs.values()):
        yield f"No run has {of_test} to show."


def _excluded_runs(part: Part) -> Iterator[str]:
    unfinished = [run for row in part.rows for run in row.group.unfinished]
    if unfinished:
        states = ", ".join(f"{n} {state}" for state, n in Counter(run.state for run in unfinished).items())
        yield f"Not averaged, {states}: {names(unfinished)}"
    without = [run for row in part.rows for run in row.group.without]
    if without:
        yield f"Complete, but without the metric: {names(without)}"
    repeated = [run for row in part.rows for run in row.group.repeated]
    if repeated:
        yield f"Superseded by a newer run with the same configuration and seed: {names(repeated)}"


def _mixed_versions(part: Part) -> Iterator[str]:
    versions = Counter(
        " ".join(f"{name} {version}" for name, version in (run.result.get("made_with") or {}).items())
        for row in part.rows
        for run in row.group.runs.values()
    )
    if len(versions) > 1:
        each = "; ".join(f"{plural(n, 'run')} by {by or 'unknown versions'}" for by, n in versions.items())
        yield f"Made with different software versions: {each}"


def _over(part: Part) -> Iterator[str]:
    """Yield what the intervals are over."""
    numbers: dict[str, list[str]] = {}
    for row in [row for row in part.scored if row.summary and row.summary.n > 1]:
        numbers.setdefault(row.group.over, []).append(f"#{row.number}")
    for over, rows in numbers.items():
        of = f" of {and_more(rows, _MAX_NAMES)}" if len(numbers) > 1 else ""
        yield f"Intervals{of}: over {over}."


def _normaliser(part: Part) -> str:
    """How transcripts were normalised; "" for other tasks."""
    return normaliser_note(
        (run.result.get("metrics") or {}).get(part.metric.split) or {}
        for row in part.rows
        for run in row.group.runs.values()
    )


def _pooled(part: Part) -> Iterator[str]:
    """Yield the accuracy of the summed confusion matrices over folds, for the first few rows."""
    for row in [row for row in part.rows if row.pooled][:_MAX_NAMES]:
        assert row.pooled is not None
        parts = f"{plural(row.group.seeds, 'seed')} x {plural(row.group.folds, 'fold')}"
        limits = "" if row.pooled.low is None else f" [{number(row.pooled.low)}, {number(row.pooled.high)}]"
        yield f"#{row.number}: {parts}; accuracy of the summed confusion matrices {number(row.pooled.value)}{limits}"


def _simplest(part: Part) -> Iterator[str]:
    if part.simplest is None or len(part.scored) < 2:
        return
    best, by = part.scored[0], part.chosen_by
    if best.number == part.simplest.number:
        yield f"No simpler group is within one standard error of the best {by}, #{best.number} ({best.label})."
    else:
        yield f"Simplest within one standard error of the best {by}: #{part.simplest.number} ({part.simplest.label})."


def _trivial(part: Part) -> Iterator[str]:
    wanted = TRIVIAL[:1] if _normaliser(part) else TRIVIAL  # no linear model writes transcripts
    missing = [name for name in wanted if all(row.group.trivial != name for row in part.scored)]
    if missing:
        multirun = ["-m"] if len(missing) > 1 else []
        words = [*multirun, *_same_data(part), f"model={','.join(missing)}"]
        none = "No trivial baseline" if len(missing) == len(wanted) else f"No model={missing[0]}"
        yield f"{none} to compare with: {shlex.join(['leyden', 'train', *words])}"


def _same_data(part: Part) -> list[str]:
    """Return the words of a run's command that choose experiment, data and folders, and its flags (--config-dir)."""
    run = next(iter(part.rows[0].group.all_runs()))
    command = [str(word) for word in run.result.get("command") or ()][2:]
    kept = [word for word in command if word.startswith("-") or _root(word) in _OF_DATA]
    named = "experiment" if run.experiment != "default" else "data"
    if not any(_root(word) == named for word in kept):
        kept.insert(0, f"{named}={run.experiment if named == 'experiment' else part.cohort.data_name}")
    return kept


def _root(word: str) -> str:
    return re.split(r"[./=]", word.lstrip("+~"))[0]


def _example(part: Part) -> str:
    """Return terms that match a trivial row, or else the last one."""
    row = next((row for row in part.scored if row.group.trivial), part.scored[-1])
    terms = zip(map(heading, part.columns), row.values, strict=True)
    return " ".join(f"{key}={value}" for key, value in terms if value not in (UNSET, "")) or "model=..."


def names(records: Sequence[Record]) -> str:
    """List a few runs by name, and the number of the others."""
    return and_more([record.name for record in records], _MAX_NAMES)
