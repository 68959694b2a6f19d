"""Checks of classes and labels by their counts: missing in a split, few for training, rare in batches, other shares."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc

from leyden.data.datamodule import DataModule
from leyden.data.split import KFold
from leyden.health.data import name_checks
from leyden.health.data.common import SPLITS, examples
from leyden.health.findings import CheckResult, Finding
from leyden.utils.text import percent

MIN_SAMPLES = 5  # training samples of a class, or with and without a label
RARE = 0.1  # expected samples of a class in a batch
MAX_DISTANCE = (
    0.1  # total variation of class shares, largest difference of label shares, of validation and test
)
SIGNIFICANCE = 1e-4  # level of the chi-squared test of equal shares


@dataclass(frozen=True)
class Counts:
    """Samples of each class or label.

    Args:
        noun: "classes" or "labels".
        of: what a sample is in relation to one: "of", or "with (or without)".
        counts: int64 (3, C), by split; of a label the samples with it or those without, whichever are fewer.
        expected: float (C,), how many of them are in a batch.
        advice: for few training samples.
    """

    noun: str
    of: str
    counts: np.ndarray
    expected: np.ndarray
    advice: tuple[str, ...]


def classes(data: DataModule) -> CheckResult:
    """Classes that are missing in a split, have few training samples, or are rare in batches."""
    labels, names = data.table.index.targets, data.table.index.target_names
    counts = np.stack([np.bincount(labels[rows], minlength=len(names)) for rows in data.splits])
    expected = data.used_batch_size(1) * data.policy.prior(counts[0], 0, 1)
    found = Counts("classes", "of", counts, expected, ("imbalance=auto", "sampling=class_aware"))
    summary = f"{len(names):,} classes, {counts[0].min():,} to {counts[0].max():,} training samples"
    named = name_checks.names(names, counts.sum(axis=0).tolist())
    return CheckResult("classes", summary, (*named, *_findings(data, found)))


def labels(data: DataModule) -> CheckResult:
    """Labels that no sample of a split has, or every one; that few training samples have; that are rare in batches."""
    targets, names = data.table.index.targets, data.table.index.target_names
    positives = np.stack([targets[rows].sum(axis=0, dtype=np.int64) for rows in data.splits])
    sizes = np.array([len(rows) for rows in data.splits])[:, None]
    counts = np.minimum(positives, sizes - positives)
    expected = data.used_batch_size(1) * counts[0] / sizes[0]
    found = Counts("labels", "with (or without)", counts, expected, ("loss=bce_weighted", "loss=asymmetric"))
    summary = f"{len(names):,} labels, {positives[0].min():,} to {positives[0].max():,} training samples"
    return CheckResult(
        "labels", summary, (*name_checks.alike(names, "label", "labels"), *_findings(data, found))
    )


def _findings(data: DataModule, found: Counts) -> Iterator[Finding]:
    names = data.table.index.target_names
    for code in (1, 2):
        missing = np.flatnonzero(found.counts[code] == 0)
        if len(missing) and len(data.splits[code]):
            listed = [names[c] for c in missing.tolist()]
            message = (
                f"The {SPLITS[code]} split has no sample {found.of} {len(missing)} of {len(names)} {found.noun} "
                f"({examples(listed, len(listed))}): no metric covers them."
            )
            evidence = {found.noun: listed}
            yield Finding("class_missing", "warning", message, SPLITS[code], ("split=stratified",), evidence)
    small = np.flatnonzero(found.counts[0] < MIN_SAMPLES)
    if len(small):
        listed = [f"{names[c]} ({found.counts[0, c]})" for c in small.tolist()]
        message = (
            f"Train has fewer than {MIN_SAMPLES} samples {found.of} {len(small)} of {len(names)} {found.noun}: "
            f"{examples(listed, len(listed))}. They are hard to learn, and their metrics are uncertain."
        )
        yield Finding("small_class", "warning", message, "train", found.advice[:1], {found.noun: listed})
    yield from _folds(data, found)
    yield from _rare(data, found, small)


def _folds(data: DataModule, found: Counts) -> Iterator[Finding]:
    totals, names = found.counts.sum(0), data.table.index.target_names
    if not isinstance(data.split, KFold) or totals.min() >= data.split.k:
        return
    few = [f"{names[c]} ({totals[c]})" for c in np.flatnonzero(totals < data.split.k).tolist()]
    message = (
        f"{len(few)} of {len(names)} {found.noun} have fewer samples than there are folds ({data.split.k}): "
        f"{examples(few, len(few))}. Some folds have no test sample of them."
    )
    advice = (f"split.k={int(totals.min())}",) if totals.min() >= 2 else ()
    yield Finding(
        "too_few_per_fold", "warning", message, "", advice, {found.noun: few, "folds": data.split.k}
    )


def _rare(data: DataModule, found: Counts, small: np.ndarray) -> Iterator[Finding]:
    names = data.table.index.target_names
    rare = np.setdiff1d(np.flatnonzero(found.expected < RARE), small)
    if len(rare):
        listed = [f"{names[c]} ({found.counts[0, c]:,})" for c in rare.tolist()]
        message = (
            f"Fewer than one of {1 / RARE:.0f} batches of {data.used_batch_size(1)} has a sample {found.of} "
            f"{len(rare)} of {len(names)} {found.noun}: {examples(listed, len(listed))}."
        )
        yield Finding("rare_class", "info", message, "train", found.advice, {found.noun: listed})


def class_shares(data: DataModule) -> CheckResult:
    """Whether validation and test have the same class shares."""
    name, (val, test) = "class shares", _rows(data)
    names = data.table.index.target_names
    val, test = (np.bincount(of, minlength=len(names)) for of in (val, test))
    if not val.sum() or not test.sum():
        return CheckResult(name, "a split is empty")
    apart = np.abs(val / val.sum() - test / test.sum())
    distance, widest = float(apart.sum() / 2), int(apart.argmax())
    summary = f"validation and test differ by {percent(distance)}"
    present = (val + test) > 0
    differ = distance > MAX_DISTANCE and present.sum() > 1
    if not differ or _p_value(val[present], test[present]) > SIGNIFICANCE:
        return CheckResult(name, summary)
    message = (
        f"Validation and test have different class shares (total variation {percent(distance)}; {names[widest]}: "
        f"{percent(val[widest] / val.sum())} and {percent(test[widest] / test.sum())}): what is best on validation "
        "may not be best on test."
    )
    return CheckResult(name, summary, (_shares_finding(message, distance),))


def label_shares(data: DataModule) -> CheckResult:
    """Whether validation and test have the same share of samples with each label."""
    name, (val, test) = "label shares", _rows(data)
    if not len(val) or not len(test):
        return CheckResult(name, "a split is empty")
    apart = np.abs(val.mean(axis=0) - test.mean(axis=0))
    widest, label = float(apart.max()), int(apart.argmax())
    summary = f"validation and test differ by {percent(widest)} at most"
    counts = [np.bincount(of[:, label], minlength=2) for of in (val, test)]
    # as many tests as there are labels (Bonferroni)
    if widest <= MAX_DISTANCE or _p_value(*counts) * len(apart) > SIGNIFICANCE:
        return CheckResult(name, summary)
    message = (
        f"Validation and test have different label shares ({data.table.index.target_names[label]}: "
        f"{percent(val[:, label].mean())} and {percent(test[:, label].mean())}): what is best on validation may not be "
        "best on test."
    )
    return CheckResult(name, summary, (_shares_finding(message, widest),))


def _rows(data: DataModule) -> tuple[np.ndarray, np.ndarray]:
    """Targets of validation and of test."""
    targets = data.table.index.targets
    return targets[data.splits.val], targets[data.splits.test]


def _shares_finding(message: str, distance: float) -> Finding:
    evidence = {"distance": distance}
    return Finding("label_shift", "warning", message, "val, test", ("split=stratified",), evidence)


def _p_value(one: np.ndarray, other: np.ndarray) -> float:
    """p-value of the chi-squared test that two counts (C,) have the same shares; none of both is 0."""
    table = np.stack([one, other]).astype(np.float64)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(chdtrc(len(one) - 1, ((table - expected) ** 2 / expected).sum()))
