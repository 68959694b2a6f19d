"""Checks of the data before training: leakage across the split, bad inputs, classes, groups, distribution shift.

`run_checks` and `find_problems` read every input once; `quick_checks` is cheap enough for the start of every run.
Findings and their thresholds: docs/check-data.md.
"""

from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import FileColumn
from leyden.health.data import duplicates, split_checks
from leyden.health.data.common import split_codes
from leyden.health.findings import CheckResult, Finding

QUICK_BYTES = 256e6  # of images or recordings: the quick checks skip the comparison of larger sets
QUICK_TEXT = 8e6  # the same for texts


def find_problems(data: DataModule) -> list[Finding]:
    """The findings of all checks of the data.

    Raises:
        UserError: the data cannot be read or split.
    """
    return [finding for result in run_checks(data) for finding in result.findings]


def run_checks(data: DataModule, stops: bool = False) -> Iterator[CheckResult]:
    """Run the checks one after the other.

    Args:
        data: the data to check.
        stops: training would stop at inputs that cannot be decoded, which are skipped here.

    Raises:
        UserError: the data cannot be read or split.
    """
    # imported here: the quick checks at the start of each run do not need them
    from leyden.health.data import distribution_shift, input_checks, near_duplicates
    from leyden.health.data.input_stats import input_stats

    table = data.table
    yield split_checks.targets(data)
    yield split_checks.shares(data)
    yield split_checks.groups(data)
    stats = input_stats(data)
    rows = np.concatenate(data.splits) if isinstance(table.inputs, FileColumn) else np.arange(len(table))
    # constant inputs are equal, but do not count as duplicates
    rows = np.setdiff1d(rows, stats.rows[stats.constant])
    keys = duplicates.digests(data, rows)
    is_used = split_codes(data)[rows] >= 0
    leakage, _, within = duplicates.duplicates(data, rows[is_used], keys[is_used])
    conflict = duplicates.duplicates(data, rows, keys)[1]  # includes duplicates that data.deduplicate removes
    yield from input_checks.check_inputs(data, stats, stops)
    yield from (conflict, within, leakage)
    yield near_duplicates.near_duplicates(data, stats, duplicates.leaked_pairs(data, rows, keys))
    yield distribution_shift.shift(data, stats)


def quick_checks(data: DataModule) -> list[Finding]:
    """Warnings and errors of the cheap checks: duplicates, label conflicts, classes, groups; no input is decoded."""
    findings = [
        *split_checks.targets(data).findings,
        *split_checks.shares(data).findings,
        *split_checks.groups(data).findings,
    ]
    from leyden.health.data.input_checks import constant

    if not data.reading.deduplicate and _is_small(data):
        rows = np.concatenate(data.splits)
        keys = duplicates.quick_digests(data, rows)
        constant_inputs = duplicates.constant_rows(data, rows[duplicates.occurs_twice(keys)])
        if len(constant_inputs):
            findings += constant(data, constant_inputs).findings
            is_varied = ~np.isin(rows, constant_inputs)
            rows, keys = rows[is_varied], keys[is_varied]
        leakage, conflict, _ = duplicates.duplicates(data, rows, keys)
        findings += [*leakage.findings, *conflict.findings]
    return [finding for finding in findings if finding.level != "info"]


def _is_small(data: DataModule) -> bool:
    """Whether the inputs are in memory and small enough to be compared at the start of a run."""
    inputs = data.table.inputs
    if isinstance(inputs, FileColumn):
        return False
    return inputs.values.nbytes <= (QUICK_TEXT if data.source.modality == "text" else QUICK_BYTES)
