"""The content of a report as plain values: groups of runs as rows, with means, comparisons, costs and marks.

Rows are sorted, and the best and the simplest marked, by the validation values of a metric; its test values are shown.

    report = assess(records, Metric("test", "accuracy"), baseline=["model=mlp"])
    report.parts[0].rows[0].summary.mean

The terminal, Markdown, CSV and HTML outputs format this and compute nothing themselves.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from leyden.metrics import higher_is_better
from leyden.metrics.intervals import wilson
from leyden.metrics.results import METRICS, MULTILABEL_METRICS, Estimate
from leyden.reporting.comparison import pareto
from leyden.reporting.comparison.distinguishing_keys import columns_of, heading, labels_of, resolve
from leyden.reporting.comparison.effects import Effects, effects
from leyden.reporting.comparison.groups import Cohort, Group, Metric, cohorts, default_metric
from leyden.reporting.comparison.statistics import (
    LEVEL,
    Comparison,
    Summary,
    compare,
    compare_all,
    difference,
)
from leyden.reporting.comparison.transcripts import paired_wer
from leyden.reporting.fused_runs import FusedRun, fused_runs
from leyden.runs.query import UNSET, matching
from leyden.runs.records import Record
from leyden.utils.errors import UserError, nearest

COSTS = ("parameters", "flops", "seconds")
_RANGES = {name: (0.0, 1.0) for name in (*METRICS, *MULTILABEL_METRICS, "string_error")} | {
    **{"mcc": (-1.0, 1.0), "spearman": (-1.0, 1.0), "r2": (-math.inf, 1.0)},
    **{name: (0.0, math.inf) for name in ("log_loss", "mae", "rmse", "wer", "cer")},
}


@dataclass(frozen=True)
class Row:
    """A group of runs.

    Attributes:
        number: position in the whole report, from 1.
        group: the runs.
        values: the group's values of the part's columns.
        summary: mean and spread of the metric; None if no run is complete.
        interval: the summary's interval, clipped to the range of the metric.
        validation: mean and spread of the metric's validation values, over the same runs; None if they have none.
        choice: of what the rows are sorted and marked by: `validation`, or `summary` where that was asked for.
        pooled: accuracy of the summed confusion matrices of a cross-validation; None otherwise.
        costs: mean of each of COSTS; None if a run does not record it.
        fronts: the costs on whose Pareto front with the metric the row is.
        comparison: against the baseline; None for the baseline itself and if there is none.
        paired: difference of WER to the baseline on the same recordings; None where there is none.
        marks: best, simplest, baseline, trivial, and the trivial baselines that it is not better than.
    """

    number: int
    group: Group
    values: tuple[str, ...]
    summary: Summary | None
    interval: tuple[float, float] | None = None
    pooled: Estimate | None = None
    costs: tuple[float | None, ...] = (None,) * len(COSTS)
    fronts: tuple[str, ...] = ()
    comparison: Comparison | None = None
    marks: tuple[str, ...] = ()
    paired: Estimate | None = None
    validation: Summary | None = None
    choice: Summary | None = None

    @property
    def label(self) -> str:
        """A short name: its values of the columns."""
        return " ".join(value for value in self.values if value != UNSET) or "all"


@dataclass(frozen=True)
class Part:
    """The rows of one experiment on the same data, the best first.

    Attributes:
        cohort: the groups, and the metric of which means, intervals and tests are.
        chosen_by: the metric by which rows are sorted and marked: of val, unless another split was asked for.
        higher: whether a higher value of the metric is better.
        columns: the keys that distinguish the groups.
        rows: one per group.
        effects: of the keys on the metric.
        baseline: the row that the others are compared with, if one was given.
        simplest: the cheapest row within one standard error of the best, if any.
    """

    cohort: Cohort
    chosen_by: Metric
    higher: bool
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    effects: Effects
    baseline: Row | None = None
    simplest: Row | None = None

    @property
    def metric(self) -> Metric:
        """Of which means, intervals and tests are."""
        return self.cohort.metric

    @property
    def heading(self) -> str:
        """What is shown, and what chose: "test/accuracy, chosen by val/accuracy, higher is better"."""
        own = f"selected on {self.metric.split}"
        selection = own if self.chosen_by == self.metric else f"chosen by {self.chosen_by}"
        words = [str(self.metric), selection, f"{self.better} is better"]
        return ", ".join(words if len(self.scored) > 1 else [words[0], words[2]])

    @property
    def better(self) -> str:
        """Which values of the metric are better: "higher" or "lower"."""
        return "higher" if self.higher else "lower"

    @property
    def title(self) -> str:
        """Experiment and data, as a heading."""
        source = f" ({self.cohort.source})" if self.cohort.source else ""
        return f"{self.cohort.experiment} on {self.cohort.data_name}{source}"

    @property
    def scored(self) -> list[Row]:
        """Rows with a mean."""
        return [row for row in self.rows if row.summary is not None]


@dataclass(frozen=True)
class Report:
    """All parts, the runs that are excluded (damaged, or without a configuration), and those with several inputs."""

    parts: tuple[Part, ...]
    left_out: tuple[Record, ...]
    fused: tuple[FusedRun, ...] = ()

    @property
    def metrics(self) -> str:
        """The metrics that the parts show, as text."""
        return ", ".join(dict.fromkeys(str(part.metric) for part in self.parts))

    @property
    def rows(self) -> Iterable[Row]:
        """The rows of all parts."""
        return (row for part in self.parts for row in part.rows)


def assess(
    records: Sequence[Record],
    metric: Metric | None = None,
    *,
    baseline: Sequence[str] = (),
    by: Sequence[str] = (),
) -> Report:
    """Group the runs, average over seeds, and compare the groups with the baseline.

    Args:
        records: of the runs.
        metric: to show and choose by. Without a split (""), or None, what most runs of a part monitored: its test
            values are shown, and its validation values choose.
        baseline: terms that match the runs of one group in each part.
        by: keys to group by; empty: all keys that can change a result, except seeds.

    Raises:
        UserError: no complete run has the metric; no run has a key of `by`; the baseline matches no group or several.
    """
    _verify_metric(metric, records)
    keys = resolve(by, [record.keys for record in records])
    baseline_folders = _matching_folders(records, baseline)
    parts: list[Part] = []
    first = 1
    for cohort in cohorts(records, metric, keys):
        parts.append(_part(cohort, keys, first, asked=bool(metric and metric.split)))
        first += len(parts[-1].rows)
    if baseline:
        parts = _compare_parts(parts, baseline_folders, " ".join(baseline))
    return Report(tuple(parts), tuple(r for r in records if not r.config), tuple(fused_runs(records)))


def _matching_folders(records: Sequence[Record], terms: Sequence[str]) -> set[object]:
    """Return the folders of the baseline's runs."""
    try:
        return {record.folder for record in matching(records, terms)} if terms else set()
    except UserError as error:
        raise UserError(f"--baseline {error}") from error


def _verify_metric(metric: Metric | None, records: Sequence[Record]) -> None:
    """Refuse runs that cannot be compared: none is complete, or no complete one has the metric."""
    complete = [record for record in records if record.state == "complete"]
    if not complete:
        states = ", ".join(f"{n} {state}" for state, n in Counter(r.state for r in records).items())
        raise UserError(f"none of these runs is complete ({states}): nothing to compare")
    wanted = default_metric(complete, metric)
    if not any(wanted.of(record) is not None for record in complete):
        known = _metric_names(complete)
        given = metric.name if metric and not metric.split else str(wanted)
        near = nearest(given, known if "/" in given else {name.partition("/")[2] for name in known})
        raise UserError(f"--metric {given}: no complete run has it; {near}")


def _metric_names(records: Iterable[Record]) -> set[str]:
    return {
        f"{split}/{name}"
        for record in records
        for split, found in (record.result.get("metrics") or {}).items()
        for part in ("values", "scalars")
        for name in found.get(part) or {}
    }


def _direction(metric: Metric, records: Iterable[Record]) -> bool:
    """Whether higher is better: as recorded by runs that monitored the metric, else by its name."""
    for record in records:
        if str(record.best.get("monitor")).partition("/")[2] == metric.name:
            return bool(record.best.get("higher_is_better"))
    return higher_is_better(metric.name)


def _part(cohort: Cohort, by: Sequence[str], first: int, asked: bool) -> Part:
    """asked: whether the user named the split of the metric, which then also chooses."""
    metric, higher = cohort.metric, _direction(cohort.metric, cohort.records())
    columns = columns_of(cohort.groups, by)
    labels = labels_of(cohort.groups, columns, by)
    rows = [_row(group, own, metric) for group, own in zip(cohort.groups, labels, strict=True)]
    validated = not asked and any(row.validation for row in rows)
    chosen_by = Metric("val", metric.name) if validated else metric
    rows = [replace(row, choice=row.validation if validated else row.summary) for row in rows]
    rows.sort(key=lambda row: _rank(row, higher))
    rows = [replace(row, number=first + place) for place, row in enumerate(rows)]
    simplest = _simplest(rows, higher)
    rows = [replace(row, fronts=fronts) for row, fronts in zip(rows, _fronts(rows, higher), strict=True)]
    trivial = {row.group.trivial: row for row in reversed(rows) if row.summary and row.group.trivial}
    ordinary = [row for row in rows if row.choice and not row.group.trivial]
    best = ordinary[0] if len(ordinary) > 1 else None
    rows = [replace(row, marks=_marks(row, best, list(trivial.values()), simplest, higher)) for row in rows]
    simplest_row = next((row for row in rows if row.number == simplest), None)
    found = _effects(rows, columns)
    return Part(cohort, chosen_by, higher, tuple(columns), tuple(rows), found, None, simplest_row)


def _row(group: Group, own: tuple[str, ...], metric: Metric) -> Row:
    summary = group.sample.summary() if group.values else None
    validated = group if metric.split == "val" else group.of(Metric("val", metric.name))
    validation = validated.sample.summary() if validated.values else None
    costs = tuple(group.mean_of(cost) for cost in COSTS)
    pooled = _pooled(group, metric.split) if metric.name == "accuracy" and group.folds > 1 else None
    interval = clip_interval(summary, metric)
    return Row(0, group, own, summary, interval, pooled, costs, validation=validation)


def clip_interval(summary: Summary | None, metric: Metric) -> tuple[float, float] | None:
    """Return the interval of a mean within the range of the metric; None if there is none."""
    if summary is None or summary.low is None or summary.high is None:
        return None
    low, high = _RANGES.get(metric.name, (-math.inf, math.inf))
    return max(low, summary.low), min(high, summary.high)


def _pooled(group: Group, split: str) -> Estimate | None:
    """Return the accuracy of the summed confusion matrices, with Wilson's interval if no sample is tested twice."""
    hits = total = 0
    for record in group.runs.values():
        found = record.result["metrics"][split]
        if "confusion" not in found:
            return None
        hits += round(found["values"]["accuracy"]["value"] * found["n"])
        total += found["n"]
    once = len(group.runs) == len({replicate.part for replicate in group.runs})
    if once or not total:
        return wilson(hits, total)
    return Estimate(hits / total, method="none: samples are tested by several seeds")


def _rank(row: Row, higher: bool) -> tuple[int, float, str]:
    """Sort key: best first, rows without a value to choose by after those, rows without any value last."""
    of_row = row.choice or row.summary
    if of_row is None:
        return 2, 0.0, row.label
    return int(row.choice is None), -of_row.mean if higher else of_row.mean, row.label


def _fronts(rows: Sequence[Row], higher: bool) -> list[tuple[str, ...]]:
    chosen = [(row, row.choice.mean) for row in rows if row.choice]
    found: dict[int, list[str]] = {row.number: [] for row in rows}
    for place, cost in enumerate(COSTS):
        optimal = pareto.front([row.costs[place] for row, _ in chosen], [mean for _, mean in chosen], higher)
        for (row, _), on in zip(chosen, optimal, strict=True):
            if on:
                found[row.number].append(cost)
    return [tuple(found[row.number]) for row in rows]


def _simplest(rows: Sequence[Row], higher: bool) -> int | None:
    chosen = [(row, row.choice) for row in rows if row.choice]
    means, errors = [s.mean for _, s in chosen], [s.error for _, s in chosen]
    place = pareto.simplest([row.costs for row, _ in chosen], means, errors, higher)
    return None if place is None else chosen[place][0].number


def _marks(
    row: Row, best: Row | None, trivial: Sequence[Row], simplest: int | None, higher: bool
) -> tuple[str, ...]:
    """Return a row's marks. best: the best of several non-trivial rows; trivial: the best one of each name."""
    if row.summary is None:
        return ()
    marks = ["trivial"] if row.group.trivial else []
    marks += ["best"] if row is best else []
    marks += ["simplest"] if row.number == simplest else []
    if not row.group.trivial:
        marks += dict.fromkeys(filter(None, (_trivial_mark(row, other, higher) for other in trivial)))
    return tuple(marks)


def _trivial_mark(row: Row, trivial: Row, higher: bool) -> str:
    """Return a mark for a row whose mean is not better, or not significantly better, than a trivial one; else ""."""
    assert row.summary is not None
    assert trivial.summary is not None
    sign, limit = (1 if higher else -1), trivial.summary.mean
    if sign * difference(row.summary.mean, limit) <= 0:
        return f"not better than {trivial.group.trivial}"
    test = compare(row.group.sample, trivial.group.sample)
    if test.p is not None:
        insignificant = test.p >= LEVEL
    else:  # a trivial model with one seed: its value is taken as exact
        end = row.summary.low if higher else row.summary.high
        insignificant = end is not None and sign * end <= sign * limit
    return f"not significant vs. {trivial.group.trivial}" if insignificant else ""


def _effects(rows: Sequence[Row], columns: Sequence[str]) -> Effects:
    """Return the effects of the columns on the metric, over the replicates of non-trivial models."""
    settings, values, replicates = [], [], []
    samples = [(row, row.group.sample) for row in rows if row.summary and not row.group.trivial]
    for row, sample in samples:
        own = dict(zip(map(heading, columns), row.values, strict=True))
        settings += [own] * len(sample.values)
        values += list(sample.values.values())
        replicates += [(sample.split, name) for name in sample.values]
    if len({sample.split for _, sample in samples}) > 1 and len(set(replicates)) == len(replicates):
        return Effects(
            reason="the groups are on different splits, whose luck is in the differences", n=len(values)
        )
    return effects(settings, values, replicates, max((s.shared for _, s in samples), default=0.0))


def _compare_parts(parts: Sequence[Part], folders: set[object], terms: str) -> list[Part]:
    """Add the comparisons to each part; a part without a run of the baseline is unchanged."""
    found = [_with_baseline(part, folders, terms) for part in parts]
    if all(part.baseline is None for part in found):
        raise UserError(
            f"--baseline {terms}: no group with a complete run matches; `leyden report` lists them"
        )
    return found


def _with_baseline(part: Part, folders: set[object], terms: str) -> Part:
    matched = [row for row in part.scored if any(run.folder in folders for run in row.group.runs.values())]
    if len(matched) > 1:
        names = "; ".join(f"{row.label}" for row in matched[:5]) + ("; ..." if len(matched) > 5 else "")
        keys = " or ".join(heading(key) for key in part.columns)
        raise UserError(
            f"--baseline {terms}: {len(matched)} groups of {part.title} match ({names}); select one by {keys}"
        )
    if not matched:
        return part
    base = replace(matched[0], marks=(*matched[0].marks, "baseline"))
    others = [row for row in part.scored if row.number != base.number]
    tests = compare_all([row.group.sample for row in others], base.group.sample)
    of_row = {row.number: test for row, test in zip(others, tests, strict=True)}
    is_wer = part.metric.name == "wer"
    rows = tuple(
        base
        if row.number == base.number
        else replace(
            row,
            comparison=of_row.get(row.number),
            paired=paired_wer(row.group, base.group) if is_wer and row.number in of_row else None,
        )
        for row in part.rows
    )
    simplest = next((row for row in rows if part.simplest and row.number == part.simplest.number), None)
    return replace(part, rows=rows, baseline=base, simplest=simplest)
