"""Checks of the split: class counts, class shares, groups."""

from collections.abc import Iterator

import numpy as np
from scipy.special import chdtrc

from leyden.data.datamodule import DataModule
from leyden.data.split import KFold
from leyden.health.data.common import SPLITS, examples
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.text import percent

MIN_SAMPLES = 5  # training samples of a class
RARE = 0.1  # expected samples of a class in a batch
MAX_DISTANCE = 0.1  # total variation distance of the class shares of validation and test
SIGNIFICANCE = 1e-4  # level of the chi-squared test of equal class shares


def classes(data: DataModule) -> CheckResult:
    """Classes that are missing in a split, have few training samples, or are rare in batches."""
    labels, names = data.table.index.targets, data.table.index.target_names
    counts = np.stack([np.bincount(labels[rows], minlength=len(names)) for rows in data.splits])
    summary = f"{len(names):,} classes, {counts[0].min():,} to {counts[0].max():,} training samples"
    return CheckResult("classes", summary, tuple(_class_findings(data, counts, names)))


def _class_findings(data: DataModule, counts: np.ndarray, names: tuple[str, ...]) -> Iterator[Finding]:
    for code in (1, 2):
        missing = np.flatnonzero(counts[code] == 0)
        if len(missing):
            listed = [names[c] for c in missing.tolist()]
            message = (
                f"The {SPLITS[code]} split has no sample of {len(missing)} of {len(names)} classes "
                f"({examples(listed, len(listed))}): no metric covers them."
            )
            yield Finding(
                "class_missing", "warning", message, SPLITS[code], ("split=stratified",), {"classes": listed}
            )
    small = np.flatnonzero(counts[0] < MIN_SAMPLES)
    if len(small):
        listed = [f"{names[c]} ({counts[0, c]})" for c in small.tolist()]
        message = (
            f"{len(small)} of {len(names)} classes have fewer than {MIN_SAMPLES} training samples: "
            f"{examples(listed, len(listed))}. They are hard to learn, and their metrics are uncertain."
        )
        yield Finding("small_class", "warning", message, "train", ("imbalance=auto",), {"classes": listed})
    yield from _folds(data, counts.sum(0), names)
    yield from _rare(data, counts[0], names, small)


def _folds(data: DataModule, totals: np.ndarray, names: tuple[str, ...]) -> Iterator[Finding]:
    if not isinstance(data.split, KFold) or totals.min() >= data.split.k:
        return
    few = [f"{names[c]} ({totals[c]})" for c in np.flatnonzero(totals < data.split.k).tolist()]
    message = (
        f"{len(few)} of {len(names)} classes have fewer samples than there are folds ({data.split.k}): "
        f"{examples(few, len(few))}. Some folds have no test sample of them."
    )
    advice = (f"split.k={int(totals.min())}",) if totals.min() >= 2 else ()
    yield Finding("few_for_folds", "warning", message, "", advice, {"classes": few, "folds": data.split.k})


def _rare(
    data: DataModule, counts: np.ndarray, names: tuple[str, ...], small: np.ndarray
) -> Iterator[Finding]:
    expected = data.batch_size * data.policy.prior(counts, 0, 1)
    rare = np.setdiff1d(np.flatnonzero(expected < RARE), small)
    if len(rare):
        listed = [f"{names[c]} ({counts[c]:,})" for c in rare.tolist()]
        message = (
            f"{len(rare)} of {len(names)} classes occur in fewer than one of {1 / RARE:.0f} batches of "
            f"{data.batch_size}: {examples(listed, len(listed))}."
        )
        advice = ("imbalance=auto", "sampling=class_aware")
        yield Finding("rare_class", "info", message, "train", advice, {"classes": listed})


def shares(data: DataModule) -> CheckResult:
    """Whether validation and test have the same class shares."""
    labels, names = data.table.index.targets, data.table.index.target_names
    val, test = (np.bincount(labels[rows], minlength=len(names)) for rows in data.splits[1:])
    distance = float(np.abs(val / val.sum() - test / test.sum()).sum() / 2)
    summary = f"validation and test differ by {percent(distance)}"
    present = (val + test) > 0
    if distance <= MAX_DISTANCE or present.sum() < 2:
        return CheckResult("class shares", summary)
    if _p_value(val[present], test[present]) > SIGNIFICANCE:
        return CheckResult("class shares", summary)
    widest = int(np.argmax(np.abs(val / val.sum() - test / test.sum())))
    message = (
        f"Validation and test have different class shares (total variation {percent(distance)}; {names[widest]}: "
        f"{percent(val[widest] / val.sum())} and {percent(test[widest] / test.sum())}): what is best on validation "
        "may not be best on test."
    )
    finding = Finding(
        "class_shares", "warning", message, "val, test", ("split=stratified",), {"distance": distance}
    )
    return CheckResult("class shares", summary, (finding,))


def _p_value(one: np.ndarray, other: np.ndarray) -> float:
    """p-value of the chi-squared test that two counts (C,) have the same class shares."""
    table = np.stack([one, other]).astype(np.float64)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(chdtrc(len(one) - 1, ((table - expected) ** 2 / expected).sum()))


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
