"""Checks of the data before training: leakage across the split, bad inputs, classes, groups, distribution shift.

`run_checks` and `find_problems` read every input once; `quick_checks` is cheap enough for the start of every run.
Findings and their thresholds: docs/check-data.md.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.health.data import duplicates, input_checks, split_checks
from leyden.health.data.common import split_codes
from leyden.health.data.input_checks import InputChecks
from leyden.health.data.modality_checks import checks_of
from leyden.health.findings import CheckResult, Finding

_COPIES = ("split_leak", "duplicates")  # findings of identical inputs


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
    yield split_checks.targets(data)
    yield split_checks.shares(data)
    yield split_checks.groups(data)
    for name, part in data.parts.items():
        yield from (_of_part(name, part, result) for result in _input_results(part, stops))
    if data.parts:
        rows = np.concatenate(data.splits)
        yield duplicates.duplicates(data, rows, duplicates.digests(data, rows))[1]
    else:
        yield from _input_results(data, stops)


def _of_part(name: str, part: DataModule, result: CheckResult) -> CheckResult:
    """The result of one input of rows that have several: copies of it alone are no copies of rows, but may leak.

    That equal inputs have other targets is no finding: another input may tell them apart.
    """
    unwanted = ("label_conflict", *(_COPIES if part.modality.may_repeat else ()))
    kept = (finding for finding in result.findings if finding.id not in unwanted)
    findings = (
        replace(
            finding,
            message=f"input {name}: {finding.message}",
            evidence={**finding.evidence, "input": name},
            level="warning" if finding.id == "split_leak" else finding.level,
            advice=() if finding.id in _COPIES else finding.advice,
        )
        for finding in kept
    )
    return CheckResult(f"{name}: {result.name}", result.summary, tuple(findings))


def _input_results(data: DataModule, stops: bool) -> Iterator[CheckResult]:
    """The checks of inputs of one modality."""
    # imported here: the quick checks at the start of each run do not need them
    from leyden.health.data import distribution_shift, near_duplicates

    table, checks = data.table, checks_of(data)
    rows = np.concatenate(data.splits) if table.inputs.stays_files else np.arange(len(table))
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
    for name, part in data.parts.items():
        found = CheckResult("", "", tuple(_quick_input_findings(part)))
        findings += _of_part(name, part, found).findings
    if not data.parts:
        findings += _quick_input_findings(data)
    return [finding for finding in findings if finding.level != "info"]


def _quick_input_findings(data: DataModule) -> list[Finding]:
    """Of inputs of one modality, where they are few enough."""
    checks, found = checks_of(data), list[Finding]()
    if not _is_small(checks):
        return found
    rows = np.concatenate(data.splits)
    keys = duplicates.quick_digests(data, rows)
    constant_inputs = checks.constant_rows(rows[duplicates.occurs_twice(keys)])
    if len(constant_inputs):
        found += input_checks.constant(checks, constant_inputs).findings
        is_varied = ~np.isin(rows, constant_inputs)
        rows, keys = rows[is_varied], keys[is_varied]
    leakage, conflict, _ = duplicates.duplicates(data, rows, keys)
    return [*found, *(() if data.reading.deduplicate else leakage.findings), *conflict.findings]


def _is_small(checks: InputChecks) -> bool:
    """Whether the inputs are in memory and small enough to be compared at the start of a run."""
    inputs = checks.data.table.inputs
    return not inputs.stays_files and inputs.values.nbytes <= checks.quick_bytes
