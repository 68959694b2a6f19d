"""Runs that are one configuration but for their seed, as groups; groups on the same data, as cohorts.

    for cohort in cohorts(records, Metric("test", "accuracy")):
        for group in cohort.groups: print(group.settings["model.name"], list(group.values.values()))

A k-fold's folds (and left-out groups) are pooled like seeds. Runs of other data are never in one cohort.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

from leyden.runs.records import Record
from leyden.runs.run import COSMETIC, SHOWN

# What a group's runs may differ in: their luck, what changes no result, how fast data are read.
# data.source is told by the data's fingerprint.
_LUCK = ("seed", "split.seed")
_READING = ("data.workers", "data.limit_gb", "data.eval_batch_size")
_BELOW = ("logger", "data.source", "sweep")
# split by class -> the keys that say which part of the data is tested
_PARTS = {"KFold": ("split.fold",), "LeaveOneGroupOut": ("split.test_group", "split.val_group")}
_SOURCE = "data.source."
_MOST_TOLD = 3  # arguments by which data of one name are told apart
FOLDS = 5  # KFold's default
TRIVIAL = ("majority", "linear")  # models that are there to be beaten


class Metric(NamedTuple):
    """What is reported: test/accuracy."""

    split: str
    name: str

    def __str__(self) -> str:
        return f"{self.split}/{self.name}"

    def of(self, record: Record) -> float | None:
        """Its value in a run."""
        return record.metric(self.split, self.name)


class Replicate(NamedTuple):
    """What tells the runs of one group apart; runs of two groups with equal ones are a pair."""

    seed: Any
    split_seed: Any
    part: tuple[Any, ...]
    rest: frozenset[tuple[str, Any]]  # with --by: the configuration that is averaged over


@dataclass
class Group:
    """Runs of one configuration.

    Attributes:
        settings: the flat configuration that they share, less what they may differ in.
        runs: the complete ones that have the metric; values: theirs.
        unfinished: failed, pruned, interrupted, running, new; without: complete, but without the metric.
        repeated: complete runs whose seed is there already: the newest is counted.
    """

    settings: Mapping[str, Any]
    runs: dict[Replicate, Record] = field(default_factory=dict)
    values: dict[Replicate, float] = field(default_factory=dict)
    unfinished: list[Record] = field(default_factory=list)
    without: list[Record] = field(default_factory=list)
    repeated: list[Record] = field(default_factory=list)

    @property
    def trivial(self) -> str:
        """Its model, if that is a trivial one; else ""."""
        name = self.settings.get("model.name")
        return name if name in TRIVIAL else ""

    @property
    def folds(self) -> int:
        """Parts of its cross-validation; 1 where there is none."""
        split = _class_name(self.settings.get("split._target_"))
        if split == "KFold":
            return int(self.settings.get("split.k", FOLDS))
        return len({replicate.part for replicate in self.runs}) if split in _PARTS else 1

    @property
    def shared(self) -> float:
        """n_test / n_train of runs whose training data overlap; 0 for seeds alone."""
        return 1 / (self.folds - 1) if self.folds > 1 else 0.0

    @property
    def seeds(self) -> int:
        """Different seeds (of the run and of the split) among the counted runs."""
        return len({(replicate.seed, replicate.split_seed) for replicate in self.runs})

    @property
    def counted(self) -> str:
        """How many runs are averaged, as `5`, or with a cross-validation as `10 (2x5)`, or `9 of 2x5`."""
        n, product = len(self.runs), self.seeds * self.folds
        if self.folds < 2 or not n:
            return str(n)
        return f"{n} ({self.seeds}x{self.folds})" if n == product else f"{n} of {self.seeds}x{self.folds}"

    def all_runs(self) -> Iterable[Record]:
        """Every run that belongs here, counted or not."""
        yield from self.runs.values()
        for others in (self.repeated, self.without, self.unfinished):
            yield from others

    def mean_of(self, cost: str) -> float | None:
        """Mean of `seconds` or `parameters` over the counted runs; None where one does not say."""
        found = [(run.result.get("cost") or {}).get(cost) for run in self.runs.values()]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None

    def states(self) -> dict[str, int]:
        """How many are unfinished, by state."""
        return dict(Counter(record.state for record in self.unfinished))


@dataclass(frozen=True)
class Cohort:
    """The groups of one experiment on the same data. source: what tells these data from others of that name."""

    experiment: str
    data: str
    groups: list[Group]
    source: str = ""

    @property
    def data_name(self) -> str:
        """As the configuration calls the data."""
        return str(next((g.settings["data.name"] for g in self.groups if "data.name" in g.settings), "data"))

    def records(self) -> Iterable[Record]:
        """Every run."""
        for group in self.groups:
            yield from group.all_runs()


def cohorts(records: Sequence[Record], metric: Metric, by: Sequence[str] = ()) -> list[Cohort]:
    """Sort runs into groups, and groups by experiment and data.

    by: group by these keys alone; runs that differ in others are then averaged together.
    Damaged runs, and those without a configuration, are in none.
    """
    found: dict[tuple[str, str], dict[frozenset[tuple[str, Any]], Group]] = {}
    for record in records:
        if not record.config:
            continue
        kept = _settings(record.keys)
        signature = frozenset((key, hashable(value)) for key, value in kept.items())
        chosen = _chosen(kept, by) if by else signature
        place = (record.experiment, str(record.result.get("data")))
        group = found.setdefault(place, {}).setdefault(chosen, Group(kept))
        _add(group, record, metric, signature - chosen if by else frozenset())
    return _split_cohorts([Cohort(*place, list(groups.values())) for place, groups in found.items()])


def _split_cohorts(every: Sequence[Cohort]) -> list[Cohort]:
    """Those of the same experiment and name of data say in which arguments of the source they differ."""
    sources = [_source(cohort) for cohort in every]
    seen: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
    for cohort, source in zip(every, sources, strict=True):
        for key, value in source.items():
            seen[cohort.experiment, cohort.data_name, key].add(hashable(value))
    told = []
    for cohort, source in zip(every, sources, strict=True):
        keys = [key for key in source if len(seen[cohort.experiment, cohort.data_name, key]) > 1]
        told.append(replace(cohort, source=", ".join(f"{key}={source[key]}" for key in keys[:_MOST_TOLD])))
    return told


def _source(cohort: Cohort) -> dict[str, Any]:
    """Arguments of the source of the data, of any of the runs."""
    keys = next(iter(cohort.records())).keys
    return {key.removeprefix(_SOURCE): value for key, value in keys.items() if key.startswith(_SOURCE)}


def _chosen(kept: Mapping[str, Any], by: Sequence[str]) -> frozenset[tuple[str, Any]]:
    """What makes a group under --by; a trivial model is never averaged with what is to beat it."""
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
    parts = _PARTS.get(_class_name(keys.get("split._target_")), ())
    defaults = {"split.fold": 0}
    part = tuple(hashable(keys.get(key, defaults.get(key))) for key in parts)
    return Replicate(keys.get("seed"), keys.get("split.seed", 0), part, rest)


def _settings(keys: Mapping[str, Any]) -> dict[str, Any]:
    kept = _counting(tuple(keys), _PARTS.get(_class_name(keys.get("split._target_")), ()))
    return {key: keys[key] for key in kept}


def computing(record: Record) -> dict[str, Any]:
    """The flat configuration of one run that can change its result: a group's settings, seeds and fold with them."""
    return {key: value for key, value in record.keys.items() if key in _LUCK or _counts(key)}


@cache
def _counting(keys: tuple[str, ...], parts: tuple[str, ...]) -> list[str]:
    """The keys that make a group; most runs have the same keys."""
    return [key for key in keys if _counts(key) and key not in parts]


def _counts(key: str) -> bool:
    if (
        key in (*_LUCK, *COSMETIC, "experiment", *_READING)
        or key.partition(".")[0] in _BELOW
        or key.startswith(_SOURCE)
    ):
        return False
    trainer, _, name = key.partition(".")
    return trainer != "trainer" or not (name in SHOWN or name.startswith("enable_"))


def _class_name(target: Any) -> str:
    return str(target).rpartition(".")[2]


def hashable(value: Any) -> Any:
    """Equal for equal values: lists and mappings as text."""
    return repr(value) if isinstance(value, list | dict) else value
