"""The doctor's look at the data before training: copies over the split, bad inputs, classes, groups, ranges.

`inspect(data)` looks at every input once; `quick(data)` at what costs next to nothing, at the start of a run.
What is found, and why at that threshold: docs/check-data.md.
"""

from collections.abc import Iterator

import numpy as np

from leyden.data.columns import Files
from leyden.data.datamodule import DataModule
from leyden.health.data import duplicates, splits
from leyden.health.data.look import part_of
from leyden.health.finding import Finding, Look

QUICK_BYTES = 256e6  # of images or recordings: more is not looked through at the start of a run
QUICK_TEXT = 8e6  # of texts, whose words are compared


def inspect(data: DataModule) -> list[Finding]:
    """Everything that the doctor finds in the data of a run.

    Raises:
        UserError: the data cannot be read or split.
    """
    return [finding for look in looks(data) for finding in look.findings]


def looks(data: DataModule, stops: bool = False) -> Iterator[Look]:
    """One check after the other.

    Args:
        data: the data layer.
        stops: a bad input, left out here, would stop training.

    Raises:
        UserError: the data cannot be read or split.
    """
    from leyden.health.data import (
        near,
        shift,
        values,
    )  # not at the start of each run, which takes the quick form
    from leyden.health.data.scan import scan

    table = data.table
    yield splits.classes(data)
    yield splits.shares(data)
    yield splits.groups(data)
    seen = scan(data)
    rows = np.concatenate(data.splits) if isinstance(table.inputs, Files) else np.arange(len(table))
    rows = np.setdiff1d(rows, seen.rows[seen.constant])  # empty inputs are alike, but no copies
    keys = duplicates.digests(data, rows)
    used = part_of(data)[rows] >= 0
    leak, _, within = duplicates.copies(data, rows[used], keys[used])
    conflict = duplicates.copies(data, rows, keys)[1]  # also of copies that data.deduplicate leaves out
    yield from values.looks(data, seen, stops)
    yield from (conflict, within, leak)
    yield near.near_copies(data, seen, duplicates.leaked(data, rows, keys))
    yield shift.shift(data, seen)


def quick(data: DataModule) -> list[Finding]:
    """The warnings and errors that cost next to nothing: copies, conflicts, classes, groups. Nothing is decoded."""
    found = [*splits.classes(data).findings, *splits.shares(data).findings, *splits.groups(data).findings]
    from leyden.health.data.values import constant

    if not data.reading.deduplicate and _small(data):
        rows = np.concatenate(data.splits)
        keys = duplicates.quick_digests(data, rows)
        empty = duplicates.uniform(data, rows[duplicates.repeated(keys)])
        if len(empty):
            found += constant(data, empty).findings
            kept = ~np.isin(rows, empty)
            rows, keys = rows[kept], keys[kept]
        leak, conflict, _ = duplicates.copies(data, rows, keys)
        found += [*leak.findings, *conflict.findings]
    return [finding for finding in found if finding.level != "info"]


def _small(data: DataModule) -> bool:
    """Whether the inputs lie in memory and are few enough to be looked through."""
    inputs = data.table.inputs
    if isinstance(inputs, Files):
        return False
    return inputs.values.nbytes <= (QUICK_TEXT if data.source.modality == "text" else QUICK_BYTES)
