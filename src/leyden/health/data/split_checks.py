"""Checks of the split: targets and their shares by split, and groups."""

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.split import KFold
from leyden.data.targets import kind_of
from leyden.health.data import count_checks, transcript_checks, value_checks
from leyden.health.data.common import SPLITS, examples
from leyden.health.findings import CheckResult, Finding, Level

_TARGETS = {
    "classes": count_checks.classes,
    "labels": count_checks.labels,
    "values": value_checks.values,
    "sequences": transcript_checks.units,
}
_SHARES = {
    "classes": count_checks.class_shares,
    "labels": count_checks.label_shares,
    "values": value_checks.value_shares,
    "sequences": transcript_checks.lengths,
}


def targets(data: DataModule) -> CheckResult:
    """Classes, labels and units that a split lacks or train has few of; values outside the range of train."""
    return _TARGETS[kind_of(data.table.index.targets)](data)


def shares(data: DataModule) -> CheckResult:
    """Whether the splits have the same shares of classes or labels, or the same distribution of values or lengths."""
    return _SHARES[kind_of(data.table.index.targets)](data)


def groups(data: DataModule) -> CheckResult:
    """Groups (a speaker, a patient, an author) that occur on both sides of the split."""
    index = data.table.index
    if index.group is None:
        return CheckResult("groups", "the data set has no groups")
    train, val, test = (np.unique(index.group[rows]) for rows in data.splits)
    shared = {1: np.intersect1d(train, val), 2: np.intersect1d(train, test)}
    tested, validated = f"{len(shared[2]):,} of {len(test):,}", f"{len(shared[1]):,} of {len(val):,}"
    summary = f"{tested} test groups and {validated} validation groups are also in train"
    worst = 2 if len(shared[2]) else 1
    if not len(shared[worst]):
        return CheckResult("groups", summary)
    names = [index.group_names[g] for g in shared[worst].tolist()]
    level: Level = "warning" if worst == 2 else "info"
    what = (
        "the metrics do not measure generalisation to new groups"
        if worst == 2
        else "validation is easier than test, whose groups are new"
    )
    message = f"{summary} ({examples(names, len(names))}): {what}."
    evidence = {"groups": names[:100], "shared": len(names), "of": len(test if worst == 2 else val)}
    finding = Finding("group_leak", level, message, SPLITS[worst], _suggest(data, worst, names), evidence)
    return CheckResult("groups", summary, (finding,))


def _suggest(data: DataModule, worst: int, names: list[str]) -> tuple[str, ...]:
    """Suggested overrides that keep groups on one side of the split."""
    if isinstance(data.split, KFold):
        return ("split.grouped=true",)
    total = len(data.table.index.group_names)
    if worst == 1:  # the test groups are new already
        return ()
    leave_out = (f"split=leave_one_group_out split.test_group={names[0]}",) if total <= 20 else ()
    return (*(("split=grouped",) if total >= 3 else ()), *leave_out)
