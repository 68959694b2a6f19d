"""Checks of transcripts: units that no training row has, empty ones, lengths of another distribution than in train."""

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.transcripts import lengths_of, unseen_units
from leyden.health.data.common import MAX_EVIDENCE, SPLITS
from leyden.health.findings import CheckResult, Finding
from leyden.utils.text import percent, plural

MANY_EMPTY = 0.2  # share of empty transcripts in train above which they are worth a word
LONGER = 1.5  # times the longest training transcript: what a net has never had to write


def units(data: DataModule) -> CheckResult:
    """Units of validation and test that no training transcript has; empty transcripts."""
    index = data.table.index
    trained = index.targets[data.splits.train]
    used = len(np.unique(trained[trained > 0]))
    empty = float((lengths_of(trained) == 0).mean())
    summary = f"{plural(used, 'unit')} in train, {percent(empty)} of its transcripts are empty"
    findings = []
    for found in unseen_units(index.targets, data.splits, index.target_names):
        evidence = {"units": [index.target_names[u] for u in found.ids[:MAX_EVIDENCE]], "share": found.share}
        advice = ("task.target.units=characters",)
        findings.append(Finding("unseen_units", "warning", found.message, found.split, advice, evidence))
    if empty > MANY_EMPTY:
        message = f"{percent(empty)} of the training transcripts are empty: they teach the blank alone."
        findings.append(Finding("empty_transcripts", "warning", message, "train", (), {"share": empty}))
    return CheckResult("targets", summary, tuple(findings))


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
