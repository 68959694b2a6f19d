"""Near duplicates across the split: validation and test samples nearly identical to one of train."""

import numpy as np
import torch

from leyden.data.datamodule import DataModule
from leyden.data.text_keys import bare_words
from leyden.health.data import near_duplicates_audio, near_duplicates_image, near_duplicates_text
from leyden.health.data.common import (
    MAX_EVIDENCE,
    SPLITS,
    agreement,
    examples,
    split_codes,
    target_columns,
)
from leyden.health.data.duplicates import raw_inputs
from leyden.health.data.input_stats import InputStats
from leyden.health.data.near_duplicates_audio import Waves
from leyden.health.data.nearest_neighbors import Pairs
from leyden.health.findings import CheckResult, Finding, Level
from leyden.utils.text import percent

WARNING = (
    0.001  # of validation and test rows, as for exact duplicates; never an error: similarity is no proof
)

_LETTERS = 100  # of a text in a message


def near_duplicates(data: DataModule, stats: InputStats, identical: np.ndarray) -> CheckResult:
    """The samples of validation and test that have a near duplicate in train.

    Args:
        data: the data, already loaded.
        stats: statistics of its inputs.
        identical: int64 (m,), rows of validation and test with an exact duplicate in train, which are excluded.
    """
    evaluated = np.setdiff1d(np.concatenate([data.splits.val, data.splits.test]), identical)
    pairs = pairs_of(data, stats, evaluated)
    rows = np.column_stack([evaluated[pairs.query], data.splits.train[pairs.key]])[np.argsort(pairs.distance)]
    total = len(data.splits.val) + len(data.splits.test)
    share = len(rows) / total
    name, count = "near duplicates across the split", f"{len(rows):,} of {total:,}"
    summary = f"{count} validation and test samples ({percent(share)}) have a near duplicate in train"
    if not len(rows):
        return CheckResult(name, summary)
    level: Level = "warning" if share > WARNING else "info"
    return CheckResult(name, summary, (_finding(data, rows, share, summary, level),))


def pairs_of(data: DataModule, stats: InputStats, evaluated: np.ndarray) -> Pairs:
    """The near duplicates of some rows in train.

    Args:
        data: the data, already loaded.
        stats: statistics of its inputs.
        evaluated: int64 (n,), rows of the table.

    Returns:
        Pairs of indices in `evaluated` (query) and in data.splits.train (key).
    """
    if data.source.modality == "text":
        rows = np.concatenate([data.splits.train, evaluated])
        texts = [bare_words(bytes(text).decode()).encode() for text in raw_inputs(data.table.inputs, rows)]
        count = len(data.splits.train)
        return near_duplicates_text.near(texts, np.arange(count, len(rows)), np.arange(count))
    queries, keys = torch.from_numpy(stats.of(evaluated)), torch.from_numpy(stats.of(data.splits.train))
    if isinstance(stats.thumbs, Waves):
        return near_duplicates_audio.near(stats.thumbs, queries, keys)
    assert stats.thumbs is not None
    return near_duplicates_image.near(
        stats.thumbs, queries, keys, max(data.spec.image_size) > near_duplicates_image.SIDE
    )


def _finding(data: DataModule, rows: np.ndarray, share: float, summary: str, level: Level) -> Finding:
    index, codes = data.table.index, split_codes(data)
    pairs = [
        (f"{index.names[a]} ({SPLITS[codes[a]]})", index.names[b]) for a, b in rows[:MAX_EVIDENCE].tolist()
    ]
    one, other = (target_columns(data, rows[:, side]) for side in (0, 1))
    agree = float(np.mean((np.abs(one - other) <= agreement(data)).all(axis=1)))
    listed = examples((f"{a} and {b} of train" for a, b in pairs), len(rows))
    message = (
        f"{summary}, {percent(agree)} of them with the same target: {listed}. "
        f"{_inspection(data, rows[0])} If they are duplicates, the metrics are too optimistic."
    )
    grouped = index.group is not None and level == "warning"
    evidence = {
        **{"share": share, "count": len(rows), "same_label": agree},
        **{"pairs": [list(pair) for pair in pairs], "rows": rows[:MAX_EVIDENCE].tolist()},
    }
    where = ", ".join(SPLITS[p] for p in np.unique(codes[rows[:, 0]]))
    return Finding("near_duplicates", level, message, where, ("split=grouped",) if grouped else (), evidence)


def _inspection(data: DataModule, pair: np.ndarray) -> str:
    """How to inspect the pairs; for texts, the nearest pair itself."""
    if data.source.modality != "text":
        return "Inspect the pairs with --picture FILE."
    one, other = (bytes(text).decode() for text in raw_inputs(data.table.inputs, pair))
    return f'"{one[:_LETTERS]}" and "{other[:_LETTERS]}".'
