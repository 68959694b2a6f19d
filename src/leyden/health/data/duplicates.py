"""Identical inputs: copies on both sides of the split, copies with another label, copies within train.

Images are identical by their pixels, recordings by their samples, texts by their words (the rule of
`data.deduplicate`).
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.table import Dense, FileColumn, Ragged
from leyden.data.text_keys import bare_words
from leyden.health.data.common import KEPT, PARTS, examples, names_of, part_of, percent
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.parallel import parallel_map

LEAK_WARNING, LEAK_ERROR = 0.001, 0.01  # of validation and test rows
CONFLICT_WARNING = 0.001  # of all rows
_CHUNK = 256
_WORDS = 64  # of 8 bytes, of an image, that the quick key is made of: 512 pixels
_POINTS = 48  # samples of a recording that the quick key is made of


def digests(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """uint64 (n,): equal for identical inputs, and else different but for one pair in 2**64."""
    inputs, text = data.table.inputs, data.source.modality == "text"

    def chunk(start: int) -> np.ndarray:
        some = rows[start : start + _CHUNK]
        return np.array([_digest(piece, text) for piece in raw_inputs(inputs, some)], dtype=np.uint64)

    parts = list(parallel_map(chunk, range(0, len(rows), _CHUNK), "looking for identical inputs", 1))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def raw_inputs(inputs: Dense | Ragged | FileColumn, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The input of each row, unpadded."""
    if isinstance(inputs, Dense):
        yield from (inputs.values[row] for row in rows.tolist())
    elif isinstance(inputs, Ragged):
        yield from map(inputs.row, rows.tolist())
    else:
        yield from (inputs.source.decode(int(inputs.rows[row])) for row in rows.tolist())


def _digest(piece: np.ndarray, text: bool) -> int:
    content = bare_words(bytes(piece).decode()).encode() if text else piece.tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def quick_digests(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """As `digests`, of columns in memory alone and cheaper: a key of some values, then equality where keys agree."""
    inputs = data.table.inputs
    if data.source.modality == "text" or isinstance(inputs, FileColumn):
        return digests(data, rows)
    keys = _image_keys(inputs, rows) if isinstance(inputs, Dense) else _clip_keys(inputs, rows)
    _, found, counts = np.unique(keys, return_inverse=True, return_counts=True)
    result = found.astype(np.uint64)
    again = np.flatnonzero(counts[found] > 1)
    result[again] = digests(data, rows[again]) | np.uint64(1 << 63)  # so none meets a number from above
    return result


def _image_keys(inputs: Dense, rows: np.ndarray) -> np.ndarray:
    """uint64 (n,) of evenly spaced words of eight pixels."""
    flat = inputs.values.reshape(len(inputs), -1)
    whole = flat.shape[1] // 8
    if whole == 0:
        return _mixed([flat[rows, pixel].astype(np.uint64) for pixel in range(flat.shape[1])])
    words = np.unique(np.linspace(0, whole - 1, min(whole, _WORDS)).astype(np.int64))
    key = np.zeros(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), 4096):  # blocks that stay in the processor's cache
        some = flat[rows[start : start + 4096], : whole * 8].view(np.uint64)
        key[start : start + 4096] = _mixed([some[:, word] for word in words.tolist()])
    return key


def _clip_keys(inputs: Ragged, rows: np.ndarray) -> np.ndarray:
    """uint64 (n,) of the length and evenly spaced samples."""
    lengths, begins = inputs.lengths[rows], inputs.offsets[rows]
    columns = [lengths.astype(np.uint64)]
    last = len(inputs.values) - 1
    for share in np.linspace(0.02, 0.98, _POINTS):
        places = np.clip(begins + (lengths * share).astype(np.int64), 0, last)
        columns.append(inputs.values[places].astype(np.int64).view(np.uint64))
    return _mixed(columns)


def _mixed(columns: list[np.ndarray]) -> np.ndarray:
    """A key (n,) of columns (n,): each is folded, multiplied and added, so that every bit counts (Knuth 6.4)."""
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


def constant_rows(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """The rows (m,) whose input is one value throughout: black pictures, silence. They are alike, but no copies."""
    inputs = data.table.inputs
    if data.source.modality == "text":
        return rows[:0]
    if isinstance(inputs, Dense):
        flat = inputs.values.reshape(len(inputs), -1)
        some = [flat[rows[start : start + 4096]] for start in range(0, len(rows), 4096)]
        same = [block.max(axis=1) == block.min(axis=1) for block in some]
        return rows[np.concatenate(same)] if same else rows[:0]
    return rows[[bool(np.ptp(piece) == 0) for piece in raw_inputs(inputs, rows)]] if len(rows) else rows


def occurs_twice(keys: np.ndarray) -> np.ndarray:
    """Places (m,) of the keys that occur more than once."""
    _, group, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[group] > 1)


def duplicates(
    data: DataModule, rows: np.ndarray, keys: np.ndarray
) -> tuple[CheckResult, CheckResult, CheckResult]:
    """Leaks over the split, conflicting labels, and copies within train.

    Args:
        data: the data layer, read.
        rows: int64 (n,) of its table.
        keys: uint64 (n,), equal for identical inputs.
    """
    several = occurs_twice(keys)
    rows, group = rows[several], np.unique(keys[several], return_inverse=True)[1]
    part = part_of(data)[rows]
    order = np.argsort(part, kind="stable")  # so that the first of a group in a part is found by searching
    return (
        _leak(data, rows, group, part),
        _conflict(data, rows, group),
        _within(data, rows[order], group[order]),
    )


def leaked_pairs(data: DataModule, rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The rows of validation and test that have an identical copy in train; arguments as for `copies`."""
    part = part_of(data)[rows]
    return rows[(part > 0) & np.isin(keys, keys[part == 0])]


def pairs_across(group: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of validation and test rows that have a copy in train, and of such a copy."""
    train = np.flatnonzero(part == 0)
    first = np.full(group.max(initial=-1) + 1, -1)
    first[group[train][::-1]] = train[::-1]
    tested = np.flatnonzero(part > 0)
    tested = tested[first[group[tested]] >= 0]
    return tested, first[group[tested]]


def _leak(data: DataModule, rows: np.ndarray, group: np.ndarray, part: np.ndarray) -> CheckResult:
    name = "copies across the split"
    tested, copy = pairs_across(group, part)
    total = len(data.splits.val) + len(data.splits.test)
    share = len(tested) / total
    told = f"{len(tested):,} of {total:,} validation and test samples ({percent(share)}) are in train too"
    if not len(tested):
        return CheckResult(name, told)
    labelled = zip(names_of(data, rows[tested]), part[tested[:KEPT]], names_of(data, rows[copy]), strict=True)
    pairs = [(f"{a} ({PARTS[p]})", b) for a, p, b in labelled]
    level: Level = "error" if share > LEAK_ERROR else "warning" if share > LEAK_WARNING else "info"
    shown = examples((f"{a} is {b} of train" for a, b in pairs), len(tested))
    message = f"{told}: what is measured there is partly memory. {shown}."
    where = ", ".join(PARTS[p] for p in np.unique(part[tested]))
    evidence = {"share": share, "count": len(tested), "of": total, "pairs": [list(pair) for pair in pairs]}
    return CheckResult(
        name, told, (Finding("split_leak", level, message, where, ("data.deduplicate=true",), evidence),)
    )


def _conflict(data: DataModule, rows: np.ndarray, group: np.ndarray) -> CheckResult:
    name = "labels of identical inputs"
    labels, classes = data.table.index.targets[rows], data.table.index.target_names
    groups = group.max(initial=-1) + 1
    low, high = np.full(groups, len(classes)), np.full(groups, -1)
    np.minimum.at(low, group, labels)
    np.maximum.at(high, group, labels)
    torn = np.flatnonzero((low < high)[group])
    if not len(torn):
        return CheckResult(name, "agree")
    torn = torn[np.argsort(group[torn], kind="stable")]
    share = len(torn) / len(data.table)
    listed = [f"{data.table.index.names[int(rows[i])]} ({classes[labels[i]]})" for i in torn[:KEPT].tolist()]
    told = f"{len(torn):,} of {len(data.table):,} inputs ({percent(share)}) have a copy with another label"
    level: Level = "warning" if share > CONFLICT_WARNING else "info"
    message = f"{told}: no model can get all of them right. {examples(listed, len(torn))}."
    evidence = {"share": share, "count": len(torn), "names": listed}
    return CheckResult(name, told, (Finding("label_conflict", level, message, "", (), evidence),))


def _within(data: DataModule, rows: np.ndarray, group: np.ndarray) -> CheckResult:
    name = "copies within train"
    train = part_of(data)[rows] == 0
    rows, group = rows[train], group[train]
    extra = len(group) - len(np.unique(group))
    total = len(data.splits.train)
    told = f"{extra:,} of {total:,} training samples ({percent(extra / total)}) repeat another"
    if not extra:
        return CheckResult(name, told)
    sizes = np.bincount(group)
    repeated = rows[sizes[group] > 1]
    evidence = {"share": extra / total, "count": extra, "names": names_of(data, repeated)}
    message = f"{told}: they weigh double. {examples(names_of(data, repeated), len(repeated))}."
    return CheckResult(
        name, told, (Finding("duplicates", "info", message, "train", ("data.deduplicate=true",), evidence),)
    )
