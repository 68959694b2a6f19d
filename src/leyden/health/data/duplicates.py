"""Exact duplicates: across the split (leakage), with conflicting targets, and within train.

Inputs are compared by the key of their modality, as `data.deduplicate` does: images by pixels, texts by normal form.
"""

import hashlib

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.modalities import Modality
from leyden.data.table import FileColumn
from leyden.health.data.common import (
    MAX_EVIDENCE,
    SPLITS,
    agreement,
    examples,
    names_of,
    split_codes,
    target_columns,
    target_name,
)
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.parallel import parallel_map
from leyden.utils.text import percent

LEAK_WARNING, LEAK_ERROR = 0.001, 0.01  # of validation and test rows
CONFLICT_WARNING = 0.001  # of all rows
CONFLICT = "targets of identical inputs"  # the check's name
_CHUNK = 256


def digests(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """Hashes uint64 (n,) of the inputs of rows (n,): equal for identical inputs, else different (64 bits)."""
    inputs, key = data.table.inputs, data.modality.key

    def chunk(start: int) -> np.ndarray:
        chosen = rows[start : start + _CHUNK].tolist()
        return np.array([_digest(key(inputs.row(row))) for row in chosen], dtype=np.uint64)

    parts = list(parallel_map(chunk, range(0, len(rows), _CHUNK), "searching for duplicates", 1))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def quick_digests(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """As `digests`, cheaper for columns in memory: a key of some values, and full hashes only where keys agree."""
    inputs = data.table.inputs
    compares_values = type(data.modality).key is Modality.key
    if not compares_values or isinstance(inputs, FileColumn):
        return digests(data, rows)
    _, found, counts = np.unique(inputs.quick_keys(rows), return_inverse=True, return_counts=True)
    result = found.astype(np.uint64)
    repeated_keys = np.flatnonzero(counts[found] > 1)
    # the top bit keeps hashes apart from the group numbers above
    result[repeated_keys] = digests(data, rows[repeated_keys]) | np.uint64(1 << 63)
    return result


def occurs_twice(keys: np.ndarray) -> np.ndarray:
    """Indices (m,) of the keys (n,) that occur more than once."""
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[group] > 1)


def duplicates(
    data: DataModule, rows: np.ndarray, keys: np.ndarray
) -> tuple[CheckResult, CheckResult, CheckResult]:
    """The checks of duplicates: across the split, with conflicting targets, within train.

    Args:
        data: the data, already loaded.
        rows: int64 (n,), rows of its table.
        keys: uint64 (n,), equal for identical inputs.
    """
    several = occurs_twice(keys)
    rows, group = rows[several], np.unique(keys[several], return_inverse=True)[1]
    codes = split_codes(data)[rows]
    order = np.argsort(codes, kind="stable")  # train first
    return (
        _leakage(data, rows, group, codes),
        _conflict(data, rows, group),
        _within_train(data, rows[order], group[order]),
    )


def leaked_pairs(data: DataModule, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The rows (m,) of validation and test with a duplicate in train; arguments as of `duplicates`."""
    codes = split_codes(data)[rows]
    return rows[(codes > 0) & np.isin(keys, keys[codes == 0])]


def pairs_across(group: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices (m,) of validation and test rows with a duplicate in train, and indices (m,) of that duplicate."""
    train = np.flatnonzero(codes == 0)
    first = np.full(group.max(initial=-1) + 1, -1)
    first[group[train][::-1]] = train[::-1]
    evaluated = np.flatnonzero(codes > 0)
    evaluated = evaluated[first[group[evaluated]] >= 0]
    return evaluated, first[group[evaluated]]


def _leakage(data: DataModule, rows: np.ndarray, group: np.ndarray, codes: np.ndarray) -> CheckResult:
    name = "duplicates across the split"
    evaluated, copy = pairs_across(group, codes)
    total = len(data.splits.val) + len(data.splits.test)
    share = len(evaluated) / total
    summary = (
        f"{len(evaluated):,} of {total:,} validation and test samples ({percent(share)}) are also in train"
    )
    if not len(evaluated):
        return CheckResult(name, summary)
    labelled = zip(
        names_of(data, rows[evaluated]),
        codes[evaluated[:MAX_EVIDENCE]],
        names_of(data, rows[copy]),
        strict=True,
    )
    pairs = [(f"{a} ({SPLITS[p]})", b) for a, p, b in labelled]
    level: Level = "error" if share > LEAK_ERROR else "warning" if share > LEAK_WARNING else "info"
    listed = examples((f"{a} equals {b} of train" for a, b in pairs), len(evaluated))
    message = f"{summary}: data leakage, the metrics are too optimistic. {listed}."
    where = ", ".join(SPLITS[p] for p in np.unique(codes[evaluated]))
    evidence = {"share": share, "count": len(evaluated), "of": total, "pairs": [list(pair) for pair in pairs]}
    return CheckResult(
        name, summary, (Finding("split_leak", level, message, where, ("data.deduplicate=true",), evidence),)
    )


def _conflict(data: DataModule, rows: np.ndarray, group: np.ndarray) -> CheckResult:
    name = CONFLICT
    targets = target_columns(data, rows)
    low, high = (np.full((group.max(initial=-1) + 1, targets.shape[1]), fill) for fill in (np.inf, -np.inf))
    np.minimum.at(low, group, targets)
    np.maximum.at(high, group, targets)
    conflicts = np.any(high - low > agreement(data), axis=1)
    conflicting = np.flatnonzero(np.asarray(conflicts)[group])
    if not len(conflicting):
        return CheckResult(name, "agree")
    conflicting = conflicting[np.argsort(group[conflicting], kind="stable")]
    share = len(conflicting) / len(data.table)
    some = conflicting[:MAX_EVIDENCE].tolist()
    listed = [f"{data.table.index.names[row]} ({target_name(data, row)})" for row in rows[some].tolist()]
    count = f"{len(conflicting):,} of {len(data.table):,}"
    summary = f"{count} inputs ({percent(share)}) have a duplicate with another target"
    level: Level = "warning" if share > CONFLICT_WARNING else "info"
    message = f"{summary}: no model can predict all of them correctly. {examples(listed, len(conflicting))}."
    evidence = {"share": share, "count": len(conflicting), "names": listed}
    return CheckResult(name, summary, (Finding("label_conflict", level, message, "", (), evidence),))


def _within_train(data: DataModule, rows: np.ndarray, group: np.ndarray) -> CheckResult:
    name = "duplicates within train"
    train = split_codes(data)[rows] == 0
    rows, group = rows[train], group[train]
    extra = len(group) - len(np.unique(group))
    total = len(data.splits.train)
    summary = f"{extra:,} of {total:,} training samples ({percent(extra / total)}) duplicate another"
    if not extra:
        return CheckResult(name, summary)
    sizes = np.bincount(group)
    repeated = rows[sizes[group] > 1]
    evidence = {"share": extra / total, "count": extra, "names": names_of(data, repeated)}
    listed = examples(names_of(data, repeated), len(repeated))
    message = f"{summary}: duplicated samples have a higher weight. {listed}."
    return CheckResult(
        name,
        summary,
        (Finding("duplicates", "info", message, "train", ("data.deduplicate=true",), evidence),),
    )
