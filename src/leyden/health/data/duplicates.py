"""Exact duplicates: across the split (leakage), with conflicting labels, and within train.

Images are compared by pixels, recordings by samples, texts by words (the rule of `data.deduplicate`).
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import Dense, FileColumn, Ragged
from leyden.data.text_keys import bare_words
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
_CHUNK = 256
_WORDS = 64  # words of 8 bytes of an image in its quick key: 512 pixels
_POINTS = 48  # samples of a recording in its quick key


def digests(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """Hashes uint64 (n,) of the inputs of rows (n,): equal for identical inputs, else different (64 bits)."""
    inputs, text = data.table.inputs, data.source.modality == "text"

    def chunk(start: int) -> np.ndarray:
        chosen = rows[start : start + _CHUNK]
        return np.array([_digest(content, text) for content in raw_inputs(inputs, chosen)], dtype=np.uint64)

    parts = list(parallel_map(chunk, range(0, len(rows), _CHUNK), "searching for duplicates", 1))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def raw_inputs(inputs: Dense | Ragged | FileColumn, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The unpadded input of each row (n,)."""
    if isinstance(inputs, Dense):
        yield from (inputs.values[row] for row in rows.tolist())
    elif isinstance(inputs, Ragged):
        yield from map(inputs.row, rows.tolist())
    else:
        yield from (inputs.source.decode(int(inputs.rows[row])) for row in rows.tolist())


def _digest(values: np.ndarray, text: bool) -> int:
    content = bare_words(bytes(values).decode()).encode() if text else values.tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def quick_digests(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """As `digests`, cheaper for columns in memory: a key of some values, and full hashes only where keys agree."""
    inputs = data.table.inputs
    if data.source.modality == "text" or isinstance(inputs, FileColumn):
        return digests(data, rows)
    keys = _image_keys(inputs, rows) if isinstance(inputs, Dense) else _clip_keys(inputs, rows)
    _, found, counts = np.unique(keys, return_inverse=True, return_counts=True)
    result = found.astype(np.uint64)
    repeated_keys = np.flatnonzero(counts[found] > 1)
    # the top bit keeps hashes apart from the group numbers above
    result[repeated_keys] = digests(data, rows[repeated_keys]) | np.uint64(1 << 63)
    return result


def _image_keys(inputs: Dense, rows: np.ndarray) -> np.ndarray:
    """Keys uint64 (n,) from evenly spaced words of eight pixels."""
    flat = inputs.values.reshape(len(inputs), -1)
    whole = flat.shape[1] // 8
    if whole == 0:
        return _hash_columns([flat[rows, pixel].astype(np.uint64) for pixel in range(flat.shape[1])])
    words = np.unique(np.linspace(0, whole - 1, min(whole, _WORDS)).astype(np.int64))
    key = np.zeros(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), 4096):  # blocks that fit into the processor's cache
        chosen = flat[rows[start : start + 4096], : whole * 8].view(np.uint64)
        key[start : start + 4096] = _hash_columns([chosen[:, word] for word in words.tolist()])
    return key


def _clip_keys(inputs: Ragged, rows: np.ndarray) -> np.ndarray:
    """Keys uint64 (n,) from the length and evenly spaced samples."""
    lengths, begins = inputs.lengths[rows], inputs.offsets[rows]
    columns = [lengths.astype(np.uint64)]
    last = len(inputs.values) - 1
    for share in np.linspace(0.02, 0.98, _POINTS):
        places = np.clip(begins + (lengths * share).astype(np.int64), 0, last)
        columns.append(inputs.values[places].astype(np.int64).view(np.uint64))
    return _hash_columns(columns)


def _hash_columns(columns: list[np.ndarray]) -> np.ndarray:
    """A key uint64 (n,) from columns uint64 (n,), by multiplicative hashing (Knuth 6.4)."""
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def constant_rows(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """The rows (m,) with a constant input (black images, silence), which do not count as duplicates."""
    inputs = data.table.inputs
    if data.source.modality == "text":
        return rows[:0]
    if isinstance(inputs, Dense):
        flat = inputs.values.reshape(len(inputs), -1)
        chosen = [flat[rows[start : start + 4096]] for start in range(0, len(rows), 4096)]
        same = [block.max(axis=1) == block.min(axis=1) for block in chosen]
        return rows[np.concatenate(same)] if same else rows[:0]
    return rows[[bool(np.ptp(content) == 0) for content in raw_inputs(inputs, rows)]] if len(rows) else rows


def occurs_twice(keys: np.ndarray) -> np.ndarray:
    """Indices (m,) of the keys (n,) that occur more than once."""
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[group] > 1)


def duplicates(
    data: DataModule, rows: np.ndarray, keys: np.ndarray
) -> tuple[CheckResult, CheckResult, CheckResult]:
    """The checks of duplicates: across the split, with conflicting labels, within train.

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
    name = "targets of identical inputs"
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
