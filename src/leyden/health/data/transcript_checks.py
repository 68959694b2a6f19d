"""Checks of transcripts: units that no training row has, empty ones, lengths of another distribution than in train."""

from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.transcripts import SPACE, lengths_of
from leyden.health.data.common import SPLITS, examples
from leyden.health.findings import CheckResult, Finding
from leyden.utils.text import percent, plural

MANY_EMPTY = 0.2  # share of empty transcripts in train above which they are worth a word
LONGER = 1.5  # times the longest training transcript: what a net has never had to write


def units(data: DataModule) -> CheckResult:
    """Units of validation and test that no training transcript has; empty transcripts."""
    names = data.table.index.target_names
    counts = [_counts(data, rows) for rows in data.splits]
    used = int((counts[0] > 0).sum())
    empty = float((lengths_of(data.table.index.targets[data.splits.train]) == 0).mean())
    summary = f"{plural(used, 'unit')} in train, {percent(empty)} of its transcripts are empty"
    findings = [*_unseen(counts, names)]
    if empty > MANY_EMPTY:
        message = f"{percent(empty)} of the training transcripts are empty: they teach the blank alone."
        findings.append(Finding("empty_transcripts", "warning", message, "train", (), {"share": empty}))
    return CheckResult("targets", summary, tuple(findings))


def _counts(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """int64 (C,): how often each unit is in the transcripts of rows (n,)."""
    targets = data.table.index.targets[rows]
    return np.bincount(targets[targets >= 0], minlength=len(data.table.index.target_names))


def _unseen(counts: list[np.ndarray], names: tuple[str, ...]) -> Iterator[Finding]:
    for split, found in zip(SPLITS[1:], counts[1:], strict=True):
        unseen = np.flatnonzero((found > 0) & (counts[0] == 0)).tolist()
        if unseen:
            share = float(found[unseen].sum() / found.sum())
            listed = examples(
                [repr(names[u].replace(SPACE, " ").strip() or " ") for u in unseen], len(unseen)
            )
            message = (
                f"In {split}, {plural(len(unseen), 'unit')} ({listed}), {percent(share)} of all, stand in no training "
                "transcript: they cannot be recognised."
            )
            evidence = {"units": [names[u] for u in unseen[:100]], "share": share}
            yield Finding(
                "unseen_units", "warning", message, split, ("task.target.units=characters",), evidence
            )


def lengths(data: DataModule) -> CheckResult:
    """Transcripts that are much longer than any of train."""
    found = [lengths_of(data.table.index.targets[rows]) for rows in data.splits]
    longest = int(found[0].max())
    summary = f"transcripts of {int(found[0].min())} to {longest} units in train"
    findings = []
    for split, own in zip(SPLITS[1:], found[1:], strict=True):
        if len(own) and own.max() > LONGER * max(1, longest):
            message = f"In {split}, transcripts have up to {int(own.max())} units; the longest of train has {longest}."
            evidence = {"longest": int(own.max()), "train": longest}
            findings.append(Finding("target_shift", "info", message, split, ("split=stratified",), evidence))
    return CheckResult("shares", summary, tuple(findings))
