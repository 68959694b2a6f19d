"""Groups of runs that differ only in their seed, and cohorts of groups on the same data.

    for cohort in cohorts(records, Metric("test", "accuracy")):
        for group in cohort.groups: print(group.settings["model.name"], list(group.values.values()))

`group.sample` holds the replicates, which are seeds or splits, and how far they are independent. A cohort never mixes
data.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from statistics import fmean
from typing import Any, NamedTuple

from leyden.reporting.comparison.statistics import Sample
from leyden.runs.records import Record
from leyden.runs.run import COSMETIC, DISPLAY_ARGUMENTS
from leyden.utils.text import plural

# Keys in which the runs of a group may differ: seeds, and what changes no result.
# data.source is identified by the data's fingerprint.
_SEED_KEYS = ("seed", "split.seed")
_LOADING_KEYS = ("data.workers", "data.limit_gb", "data.eval_batch_size")
_IGNORED_NODES = ("logger", "data.source", "sweep", "compute")
# class of the split -> the keys that select which part of the data is tested
_FOLD_KEYS = {"KFold": ("split.fold",), "LeaveOneGroupOut": ("split.test_group", "split.val_group")}
_SOURCE = "data.source."
_MAX_ARGUMENTS = 3  # arguments of the source listed to distinguish data of one name
_SPLIT_NAMES = {"KFold": "fold", "LeaveOneGroupOut": "left-out group"}
# In the method of a value at a threshold or temperature fitted to the same samples.
_CHOSEN_HERE = "chosen here"
FOLDS = 5  # KFold's default
TRIVIAL = ("majority", "linear")  # trivial baseline models


class Metric(NamedTuple):
    """A metric of a split, such as test/accuracy."""

    split: str
    name: str

    def __str__(self) -> str:
        return f"{self.split}/{self.name}"

    def of(self, record: Record) -> float | None:
        """Return its value in a run, None if it has none; of a decision chosen on the same samples that without it."""
        found = (record.result.get("metrics") or {}).get(self.split) or {}
        stored = (found.get("values") or {}).get(self.name) or {}
        if _CHOSEN_HERE in str(stored.get("method")):
            return (found.get("before") or {}).get(self.name)
        return record.metric(self.split, self.name)


class Replicate(NamedTuple):
    """The seeds and the fold of a run within its group."""

    seed: Any
    split_seed: Any
    part: tuple[Any, ...]
    rest: frozenset[tuple[str, Any]]  # with --by: the settings that are averaged over

    @property
    def place(self) -> tuple[Any, ...]:
        """The split: its seed, and what it tests."""
        return self.split_seed, self.part


@dataclass
class Group:
    """Runs of one configuration.

    Attributes:
        settings: the flat configuration that they share, without the keys in which they may differ.
        split: that the metric is of: val or test.
        runs: complete runs that have the metric.
        values: the metric of each of `runs`.
        unfinished: runs that are failed, pruned, interrupted, running or new.
        without: complete runs without the metric.
        repeated: complete runs that are superseded by a newer one with the same seed.
    """

    settings: Mapping[str, Any]
    split: str = "test"
    runs: dict[Replicate, Record] = field(default_factory=dict)
    values: dict[Replicate, float] = field(default_factory=dict)
    unfinished: list[Record] = field(default_factory=list)
    without: list[Record] = field(default_factory=list)
    repeated: list[Record] = field(default_factory=list)

    def of(self, metric: Metric) -> "Group":
        """The same runs with another metric, those that have it."""
        values = {name: value for name, run in self.runs.items() if (value := metric.of(run)) is not None}
        runs = {name: self.runs[name] for name in values}
        return replace(self, split=metric.split, runs=runs, values=values)

    @property
    def trivial(self) -> str:
        """The name of its model if that is a trivial baseline; else ""."""
        name = self.settings.get("model.name")
        return name if name in TRIVIAL else ""

    @property
    def folds(self) -> int:
        """Number of folds of its cross-validation; 1 without one."""
        split = _class_name(self.settings.get("split._target_"))
        if split == "KFold":
            k = self.settings.get("split.k", FOLDS)
            return k if isinstance(k, int) else FOLDS  # a stored configuration may hold anything
        return len({replicate.part for replicate in self.runs}) if split in _FOLD_KEYS else 1

    @cached_property
    def splits(self) -> dict[Any, Record]:
        """One run of each split: of each split seed, fold, or group left out."""
        return {replicate.place: run for replicate, run in self.runs.items()}

    @cached_property
    def resampled(self) -> bool:
        """Whether the runs were evaluated on different rows; supposed so where the rows are not stored."""
        runs = list(self.splits.values())
        rows = runs[0].rows(self.split) if len(runs) > 1 else None
        return any(rows is None or run.rows(self.split) != rows for run in runs[1:])

    @cached_property
    def overlap(self) -> float:
        """n_test / n_train, the mean over runs on resampled splits, whose training sets overlap; else 0.

        A run that has not recorded its sizes counts as 1, as if it were tested on as many samples as it trained on.
        """
        return fmean(ratio or 1.0 for ratio in self._ratios) if self.resampled else 0.0

    @cached_property
    def _ratios(self) -> list[float]:
        """n_test / n_train of each run; 0 where they are not recorded."""
        sizes = [run.sizes for run in self.runs.values()]
        return [of_run.get(self.split, 0) / (of_run.get("train") or math.inf) for of_run in sizes]

    @cached_property
    def sample(self) -> Sample:
        """The replicates: splits, or, of one split, seeds; what else differs is averaged within each.

        Seeds on one split share its luck, and settings that --by averages over share that of seed and split.
        """
        trained: dict[tuple[Any, Any], list[float]] = defaultdict(list)
        for replicate, value in self.values.items():
            trained[replicate.place, replicate.seed].append(value)
        only = next(iter(self.splits)) if len(self.splits) == 1 else None
        found: dict[Any, list[float]] = defaultdict(list)
        for (place, seed), values in trained.items():
            found[place if only is None else seed].append(fmean(values))
        return Sample({name: fmean(values) for name, values in found.items()}, self.overlap, only)

    @property
    def unit(self) -> str:
        """What a replicate is, in words."""
        if self.sample.split is not None:
            return "seed"
        return _SPLIT_NAMES.get(_class_name(self.settings.get("split._target_")), "random split")

    @property
    def over(self) -> str:
        """What the interval of the mean is over, in words."""
        n = len(self.sample.values)
        if self.sample.split is not None:
            return f"{plural(n, 'seed')} on one split"
        each = f" ({plural(len(self.runs), 'run')}, averaged within each)" if len(self.runs) > n else ""
        if not self.resampled:
            return f"{n} draws of the validation rows{each}, all with the same {self.split} rows"
        unknown = "" if all(self._ratios) else ", taken as 1 where not recorded"
        return (
            f"{plural(n, self.unit)}{each} whose training sets overlap: Nadeau and Bengio, "
            f"n_{self.split} / n_train = {self.overlap:.3f}{unknown}"
        )

    @property
    def seeds(self) -> int:
        """Number of different seeds (of the run and of the split) among `runs`."""
        return len({(replicate.seed, replicate.split_seed) for replicate in self.runs})

    @property
    def counted(self) -> str:
        """Number of replicates as text: `5`, `5 (15 runs)`; with folds, of runs: `10 (2x5)`, incomplete `9 of 2x5`."""
        n, product, replicates = len(self.runs), self.seeds * self.folds, len(self.sample.values)
        if self.folds < 2 or not n:
            return str(n) if n == replicates else f"{replicates} ({n} runs)"
        return f"{n} ({self.seeds}x{self.folds})" if n == product else f"{n} of {self.seeds}x{self.folds}"

    def all_runs(self) -> Iterable[Record]:
        """Yield every run of the group, averaged or not."""
        yield from self.runs.values()
        for others in (self.repeated, self.without, self.unfinished):
            yield from others

    def mean_of(self, cost: str) -> float | None:
        """Return the mean of a cost (`seconds`, `parameters`, `flops`) over `runs`; None if one does not record it."""
        found = [(run.result.get("cost") or {}).get(cost) for run in self.runs.values()]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None

    def states(self) -> dict[str, int]:
        """Return the number of unfinished runs by state."""
        return dict(Counter(record.state for record in self.unfinished))


@dataclass(frozen=True)
class Cohort:
    """The groups of one experiment on the same data.

    Attributes:
        experiment: of all runs.
        data: fingerprint of the data.
        metric: that the groups are compared by.
        groups: of the runs.
        source: arguments that distinguish data of the same name.
    """

    experiment: str
    data: str
    metric: Metric
    groups: list[Group]
    source: str = ""

    @property
    def data_name(self) -> str:
        """The name of the data in the configuration."""
        return str(next((g.settings["data.name"] for g in self.groups if "data.name" in g.settings), "data"))

    def records(self) -> Iterable[Record]:
        """Yield every run of the cohort."""
        for group in self.groups:
            yield from group.all_runs()


def cohorts(records: Sequence[Record], metric: Metric | None = None, by: Sequence[str] = ()) -> list[Cohort]:
    """Group runs by configuration, and the groups by experiment and data.

    Damaged runs and runs without a configuration are omitted.

    Args:
        records: of the runs.
        metric: to compare; None, or one without a split: for each cohort its `default_metric`.
        by: group only by these keys, and average over all others.
    """
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.config:
            found[record.experiment, str(record.result.get("data"))].append(record)
    return _label_sources(
        [_cohort(*key, members, default_metric(members, metric), by) for key, members in found.items()]
    )


def _cohort(
    experiment: str, data: str, records: Sequence[Record], metric: Metric, by: Sequence[str]
) -> Cohort:
    groups: dict[frozenset[tuple[str, Any]], Group] = {}
    for record in records:
        kept = _settings(record.keys)
        signature = frozenset((key, hashable(value)) for key, value in kept.items())
        group_key = _group_key(kept, by) if by else signature
        group = groups.setdefault(group_key, Group(kept, metric.split))
        _add(group, record, metric, signature - group_key if by else frozenset())
    return Cohort(experiment, data, metric, list(groups.values()))


def default_metric(records: Sequence[Record], given: Metric | None = None) -> Metric:
    """Return the metric to show: as given; without a split on test, if a run has it there, else on val.

    Nothing given: the one that most runs monitored, or accuracy.
    """
    if given and given.split:
        return given
    name = given.name if given else _monitored(records)
    of_test, of_val = Metric("test", name), Metric("val", name)
    has_test, has_val = (any(of.of(record) is not None for record in records) for of in (of_test, of_val))
    return of_val if has_val and not has_test else of_test


def _monitored(records: Sequence[Record]) -> str:
    monitors = Counter(str(record.best.get("monitor")) for record in records)
    monitors = Counter({name: count for name, count in monitors.items() if "/" in name})
    return monitors.most_common(1)[0][0].partition("/")[2] if monitors else "accuracy"


def _label_sources(every: Sequence[Cohort]) -> list[Cohort]:
    """Set `source` of cohorts with the same experiment and data name to the arguments in which they differ."""
    sources = [_source(cohort) for cohort in every]
    seen: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
    for cohort, source in zip(every, sources, strict=True):
        for key, value in source.items():
            seen[cohort.experiment, cohort.data_name, key].add(hashable(value))
    labelled = []
    for cohort, source in zip(every, sources, strict=True):
        keys = [key for key in source if len(seen[cohort.experiment, cohort.data_name, key]) > 1]
        labelled.append(
            replace(cohort, source=", ".join(f"{key}={source[key]}" for key in keys[:_MAX_ARGUMENTS]))
        )
    return labelled


def _source(cohort: Cohort) -> dict[str, Any]:
    """Return the arguments of the data source, from the first run."""
    keys = next(iter(cohort.records())).keys
    return {key.removeprefix(_SOURCE): value for key, value in keys.items() if key.startswith(_SOURCE)}


def _group_key(kept: Mapping[str, Any], by: Sequence[str]) -> frozenset[tuple[str, Any]]:
    """Return the key of a group under --by; trivial baselines are never averaged with other models."""
    keys = [*by, "model.name"] if kept.get("model.name") in TRIVIAL else by
    return frozenset((key, hashable(kept.get(key))) for key in keys)


def _add(group: Group, record: Record, metric: Metric, rest: frozenset[tuple[str, Any]]) -> None:
    if record.state != "complete":
        group.unfinished.append(record)
        return
    value = metric.of(record)
    if value is None:
        group.without.append(record)
        return
    replicate = _replicate(record, rest)
    first = group.runs.get(replicate)
    if first is not None and str(first.result.get("started")) > str(record.result.get("started")):
        group.repeated.append(record)
        return
    if first is not None:
        group.repeated.append(first)
    group.runs[replicate], group.values[replicate] = record, value


def _replicate(record: Record, rest: frozenset[tuple[str, Any]]) -> Replicate:
    keys = record.keys
    parts = _FOLD_KEYS.get(_class_name(keys.get("split._target_")), ())
    defaults = {"split.fold": 0}
    part = tuple(hashable(keys.get(key, defaults.get(key))) for key in parts)
    return Replicate(keys.get("seed"), keys.get("split.seed", 0), part, rest)


def _settings(keys: Mapping[str, Any]) -> dict[str, Any]:
    kept = _group_keys(tuple(keys), _FOLD_KEYS.get(_class_name(keys.get("split._target_")), ()))
    continued = {"continue": True} if keys.get("continue") else {}  # seeds have different parents
    allowed = {"compute.allow": keys["compute.allow"]} if keys.get("compute.allow") else {}
    return {**{key: keys[key] for key in kept}, **continued, **allowed}


def computing(record: Record) -> dict[str, Any]:
    """Return the part of a run's flat configuration that can change its result, seeds and fold included."""
    return {key: value for key, value in record.keys.items() if key in _SEED_KEYS or _affects_result(key)}


@cache
def _group_keys(keys: tuple[str, ...], parts: tuple[str, ...]) -> list[str]:
    """Return the keys that define a group; cached, since most runs have the same keys."""
    return [key for key in keys if _affects_result(key) and key not in parts]


def _affects_result(key: str) -> bool:
    if (
        key in (*_SEED_KEYS, *COSMETIC, "experiment", "continue", *_LOADING_KEYS)
        or key.partition(".")[0] in _IGNORED_NODES
        or key.startswith(_SOURCE)
    ):
        return False
    trainer, _, name = key.partition(".")
    return trainer != "trainer" or not (name in DISPLAY_ARGUMENTS or name.startswith("enable_"))


def _class_name(target: Any) -> str:
    return str(target).rpartition(".")[2]


def hashable(value: Any) -> Any:
    """Return a hashable form of a value: lists and mappings as text."""
    return repr(value) if isinstance(value, list | dict) else value
