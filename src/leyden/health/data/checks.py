"""Checks of the data before training: leakage across the split, bad inputs, classes, groups, distribution shift.

`run_checks` and `find_problems` read every input once; `quick_checks` is cheap enough for the start of every run.
Findings and their thresholds: docs/check-data.md.
"""

from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import FileColumn
from leyden.health.data import duplicates, input_checks, split_checks
from leyden.health.data.common import split_codes
from leyden.health.data.input_checks import InputChecks
from leyden.health.data.modality_checks import checks_of
from leyden.health.findings import CheckResult, Finding


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
    from leyden.health.data import distribution_shift, near_duplicates

    table, checks = data.table, checks_of(data)
    yield split_checks.targets(data)
    yield split_checks.shares(data)
    yield split_checks.groups(data)
    rows = np.concatenate(data.splits) if isinstance(table.inputs, FileColumn) else np.arange(len(table))
    # constant inputs are equal, but do not count as duplicates
    rows = np.setdiff1d(rows, checks.stats.rows[checks.stats.constant])
    keys = duplicates.digests(data, rows)
    # of inputs that data.deduplicate leaves, identical ones have different targets: a conflict, not leakage
    is_used = (split_codes(data)[rows] >= 0) & (not data.reading.deduplicate)
    leakage, _, within = duplicates.duplicates(data, rows[is_used], keys[is_used])
    conflict = duplicates.duplicates(data, rows, keys)[1]  # includes duplicates that data.deduplicate removes
    yield from input_checks.check_inputs(checks, stops)
    yield from (conflict, within, leakage)
    yield near_duplicates.near_duplicates(checks, duplicates.leaked_pairs(data, rows, keys))
    yield distribution_shift.shift(checks)


def quick_checks(data: DataModule) -> list[Finding]:
    """Warnings and errors of the cheap checks: duplicates, label conflicts, classes, groups; no input is decoded."""
    findings = [
        *split_checks.targets(data).findings,
        *split_checks.shares(data).findings,
        *split_checks.groups(data).findings,
    ]
    checks = checks_of(data)
    if _is_small(checks):
        rows = np.concatenate(data.splits)
        keys = duplicates.quick_digests(data, rows)
        constant_inputs = checks.constant_rows(rows[duplicates.occurs_twice(keys)])
        if len(constant_inputs):
            findings += input_checks.constant(checks, constant_inputs).findings
            is_varied = ~np.isin(rows, constant_inputs)
            rows, keys = rows[is_varied], keys[is_varied]
        leakage, conflict, _ = duplicates.duplicates(data, rows, keys)
        findings += [*(() if data.reading.deduplicate else leakage.findings), *conflict.findings]
    return [finding for finding in findings if finding.level != "info"]


def _is_small(checks: InputChecks) -> bool:
    """Whether the inputs are in memory and small enough to be compared at the start of a run."""
    inputs = checks.data.table.inputs
    return not isinstance(inputs, FileColumn) and inputs.values.nbytes <= checks.quick_bytes
