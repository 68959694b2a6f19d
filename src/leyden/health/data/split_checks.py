"""What the split is like: its classes and its groups."""

from collections.abc import Iterator

import numpy as np
from scipy.special import chdtrc

from leyden.data.datamodule import DataModule
from leyden.data.split import KFold
from leyden.health.data.common import PARTS, examples, percent
from leyden.health.findings import CheckResult, Finding, Level

SMALLEST = 5  # training samples of a class
SELDOM = 0.1  # samples of a class in a batch, expected
APART = 0.1  # total variation distance of the class shares of validation and test
CERTAIN = 1e-4  # of the test that they differ at all


def classes(data: DataModule) -> CheckResult:
    """Classes that a split lacks, that are tiny, or that a batch seldom holds."""
    labels, names = data.table.index.targets, data.table.index.target_names
    counts = np.stack([np.bincount(labels[rows], minlength=len(names)) for rows in data.splits])
    told = f"{len(names):,} classes, {counts[0].min():,} to {counts[0].max():,} training samples"
    return CheckResult("classes", told, tuple(_class_findings(data, counts, names)))


def _class_findings(data: DataModule, counts: np.ndarray, names: tuple[str, ...]) -> Iterator[Finding]:
    for part in (1, 2):
        missing = np.flatnonzero(counts[part] == 0)
        if len(missing):
            listed = [names[c] for c in missing.tolist()]
            message = (
                f"The {PARTS[part]} split has no sample of {len(missing)} of {len(names)} classes "
                f"({examples(listed, len(listed))}): nothing is measured of them."
            )
            yield Finding(
                "class_missing", "warning", message, PARTS[part], ("split=stratified",), {"classes": listed}
            )
    small = np.flatnonzero(counts[0] < SMALLEST)
    if len(small):
        listed = [f"{names[c]} ({counts[0, c]})" for c in small.tolist()]
        message = (
            f"{len(small)} of {len(names)} classes have fewer than {SMALLEST} training samples: "
            f"{examples(listed, len(listed))}. Little can be learnt of them, and nothing be said with confidence."
        )
        yield Finding("small_class", "warning", message, "train", ("imbalance=auto",), {"classes": listed})
    yield from _folds(data, counts.sum(0), names)
    yield from _seldom(data, counts[0], names, small)


def _folds(data: DataModule, totals: np.ndarray, names: tuple[str, ...]) -> Iterator[Finding]:
    if not isinstance(data.split, KFold) or totals.min() >= data.split.k:
        return
    few = [f"{names[c]} ({totals[c]})" for c in np.flatnonzero(totals < data.split.k).tolist()]
    message = (
        f"{len(few)} of {len(names)} classes have fewer samples than there are folds ({data.split.k}): "
        f"{examples(few, len(few))}. Some folds do not test them."
    )
    advice = (f"split.k={int(totals.min())}",) if totals.min() >= 2 else ()
    yield Finding("few_for_folds", "warning", message, "", advice, {"classes": few, "folds": data.split.k})


def _seldom(
    data: DataModule, counts: np.ndarray, names: tuple[str, ...], small: np.ndarray
) -> Iterator[Finding]:
    expected = data.batch_size * data.policy.prior(counts, 0, 1)
    seldom = np.setdiff1d(np.flatnonzero(expected < SELDOM), small)
    if len(seldom):
        listed = [f"{names[c]} ({counts[c]:,})" for c in seldom.tolist()]
        message = (
            f"{len(seldom)} of {len(names)} classes are in fewer than one of {1 / SELDOM:.0f} batches of "
            f"{data.batch_size}: {examples(listed, len(listed))}."
        )
        advice = ("imbalance=auto", "sampling=class_aware")
        yield Finding("rare_class", "info", message, "train", advice, {"classes": listed})


def shares(data: DataModule) -> CheckResult:
    """Whether validation and test hold the classes in the same shares."""
    labels, names = data.table.index.targets, data.table.index.target_names
    val, test = (np.bincount(labels[rows], minlength=len(names)) for rows in data.splits[1:])
    distance = float(np.abs(val / val.sum() - test / test.sum()).sum() / 2)
    told = f"validation and test differ by {percent(distance)}"
    present = (val + test) > 0
    if distance <= APART or present.sum() < 2:
        return CheckResult("class shares", told)
    if _by_chance(val[present], test[present]) > CERTAIN:
        return CheckResult("class shares", told)
    widest = int(np.argmax(np.abs(val / val.sum() - test / test.sum())))
    message = (
        f"Validation and test hold the classes in other shares (they differ by {percent(distance)}; {names[widest]}: "
        f"{percent(val[widest] / val.sum())} and {percent(test[widest] / test.sum())}): what is best on validation "
        "need not be on test."
    )
    finding = Finding(
        "class_shares", "warning", message, "val, test", ("split=stratified",), {"distance": distance}
    )
    return CheckResult("class shares", told, (finding,))


def _by_chance(one: np.ndarray, other: np.ndarray) -> float:
    """Probability that two counts (C,) of the same shares differ so much: the chi-squared test."""
    table = np.stack([one, other]).astype(np.float64)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(chdtrc(len(one) - 1, ((table - expected) ** 2 / expected).sum()))


def groups(data: DataModule) -> CheckResult:
    """Groups (a speaker, a patient, an author) that are on both sides of the split."""
    index = data.table.index
    if index.group is None:
        return CheckResult("groups", "the data set names none")
    train, val, test = (np.unique(index.group[rows]) for rows in data.splits)
    shared = {1: np.intersect1d(train, val), 2: np.intersect1d(train, test)}
    tested, validated = f"{len(shared[2]):,} of {len(test):,}", f"{len(shared[1]):,} of {len(val):,}"
    told = f"{tested} test groups and {validated} of validation are in train"
    worst = 2 if len(shared[2]) else 1
    if not len(shared[worst]):
        return CheckResult("groups", told)
    names = [index.group_names[g] for g in shared[worst].tolist()]
    level: Level = "warning" if worst == 2 else "info"
    what = (
        "new groups are not what is measured"
        if worst == 2
        else "validation is easier than the test of new groups"
    )
    message = f"{told} ({examples(names, len(names))}): {what}."
    evidence = {"groups": names[:100], "shared": len(names), "of": len(test if worst == 2 else val)}
    finding = Finding("group_leak", level, message, PARTS[worst], _apart(data, worst, names), evidence)
    return CheckResult("groups", told, (finding,))


def _apart(data: DataModule, worst: int, names: list[str]) -> tuple[str, ...]:
    """Overrides by which groups stay whole."""
    if isinstance(data.split, KFold):
        return ("split.grouped=true",)
    total = len(data.table.index.group_names)
    if worst == 1:  # groups are tested apart already; validation may be, too
        return ()
    leave_out = (f"split=leave_one_group_out split.test_group={names[0]}",) if total <= 20 else ()
    return (*(("split=grouped",) if total >= 3 else ()), *leave_out)
