"""The doctor's look at the data before training: copies over the split, bad inputs, classes, groups, ranges.

`inspect(data)` looks at every input once; `quick(data)` at what costs next to nothing, at the start of a run.
What is found, and why at that threshold: docs/check-data.md.
"""

from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import FileColumn
from leyden.health.data import duplicates, split_checks
from leyden.health.data.common import part_of
from leyden.health.findings import CheckResult, Finding

QUICK_BYTES = 256e6  # of images or recordings: more is not looked through at the start of a run
QUICK_TEXT = 8e6  # of texts, whose words are compared


def find_problems(data: DataModule) -> list[Finding]:
    """Everything that the doctor finds in the data of a run.

    Raises:
        UserError: the data cannot be read or split.
    """
    return [finding for look in run_checks(data) for finding in look.findings]


def run_checks(data: DataModule, stops: bool = False) -> Iterator[CheckResult]:
    """One check after the other.

    Args:
        data: the data layer.
        stops: a bad input, left out here, would stop training.

    Raises:
        UserError: the data cannot be read or split.
    """
    from leyden.health.data import (  # not at the start of each run, which takes the quick form
        distribution_shift,
        input_checks,
        near_duplicates,
    )
    from leyden.health.data.input_stats import input_stats

    table = data.table
    yield split_checks.classes(data)
    yield split_checks.shares(data)
    yield split_checks.groups(data)
    seen = input_stats(data)
    rows = np.concatenate(data.splits) if isinstance(table.inputs, FileColumn) else np.arange(len(table))
    rows = np.setdiff1d(rows, seen.rows[seen.constant])  # empty inputs are alike, but no copies
    keys = duplicates.digests(data, rows)
    used = part_of(data)[rows] >= 0
    leak, _, within = duplicates.duplicates(data, rows[used], keys[used])
    conflict = duplicates.duplicates(data, rows, keys)[1]  # also of copies that data.deduplicate leaves out
    yield from input_checks.check_inputs(data, seen, stops)
    yield from (conflict, within, leak)
    yield near_duplicates.near_duplicates(data, seen, duplicates.leaked_pairs(data, rows, keys))
    yield distribution_shift.shift(data, seen)


def quick_checks(data: DataModule) -> list[Finding]:
    """The warnings and errors that cost next to nothing: copies, conflicts, classes, groups. Nothing is decoded."""
    found = [
        *split_checks.classes(data).findings,
        *split_checks.shares(data).findings,
        *split_checks.groups(data).findings,
    ]
    from leyden.health.data.input_checks import constant

    if not data.reading.deduplicate and _small(data):
        rows = np.concatenate(data.splits)
        keys = duplicates.quick_digests(data, rows)
        empty = duplicates.constant_rows(data, rows[duplicates.occurs_twice(keys)])
        if len(empty):
            found += constant(data, empty).findings
            kept = ~np.isin(rows, empty)
            rows, keys = rows[kept], keys[kept]
        leak, conflict, _ = duplicates.duplicates(data, rows, keys)
        found += [*leak.findings, *conflict.findings]
    return [finding for finding in found if finding.level != "info"]


def _small(data: DataModule) -> bool:
    """Whether the inputs lie in memory and are few enough to be looked through."""
    inputs = data.table.inputs
    if isinstance(inputs, FileColumn):
        return False
    return inputs.values.nbytes <= (QUICK_TEXT if data.source.modality == "text" else QUICK_BYTES)
