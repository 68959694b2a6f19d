"""Near duplicates across the split: validation and test samples that are almost one of train."""

import numpy as np
import torch

from leyden.data.datamodule import DataModule
from leyden.data.text_keys import bare_words
from leyden.health.data import near_duplicates_audio, near_duplicates_image, near_duplicates_text
from leyden.health.data.common import KEPT, PARTS, examples, part_of, percent
from leyden.health.data.duplicates import raw_inputs
from leyden.health.data.input_stats import InputStats
from leyden.health.data.near_duplicates_audio import Waves
from leyden.health.data.nearest_neighbors import Pairs
from leyden.health.findings import CheckResult, Finding, Level

WARNING = 0.001  # of validation and test rows, as for identical ones; never an error: it is a likeness

_LETTERS = 100  # of a text, shown


def near_duplicates(data: DataModule, scan: InputStats, identical: np.ndarray) -> CheckResult:
    """The samples of validation and test that have a near duplicate in train.

    Args:
        data: the data layer, read.
        scan: of its inputs.
        identical: int64, rows of validation and test that have an identical copy there: told elsewhere.
    """
    tested = np.setdiff1d(np.concatenate([data.splits.val, data.splits.test]), identical)
    pairs = pairs_of(data, scan, tested)
    rows = np.column_stack([tested[pairs.query], data.splits.train[pairs.key]])[np.argsort(pairs.distance)]
    total = len(data.splits.val) + len(data.splits.test)
    share = len(rows) / total
    told = (
        f"{len(rows):,} of {total:,} validation and test samples ({percent(share)}) are almost one of train"
    )
    if not len(rows):
        return CheckResult("near copies across the split", told)
    level: Level = "warning" if share > WARNING else "info"
    return CheckResult("near copies across the split", told, (_finding(data, rows, share, told, level),))


def pairs_of(data: DataModule, scan: InputStats, tested: np.ndarray) -> Pairs:
    """Places in `tested` (n,), rows of the table, and in data.splits.train, of what is almost the same."""
    if data.source.modality == "text":
        rows = np.concatenate([data.splits.train, tested])
        texts = [bare_words(bytes(text).decode()).encode() for text in raw_inputs(data.table.inputs, rows)]
        count = len(data.splits.train)
        return near_duplicates_text.near(texts, np.arange(count, len(rows)), np.arange(count))
    queries, keys = torch.from_numpy(scan.of(tested)), torch.from_numpy(scan.of(data.splits.train))
    if isinstance(scan.thumbs, Waves):
        return near_duplicates_audio.near(scan.thumbs, queries, keys)
    assert scan.thumbs is not None
    return near_duplicates_image.near(
        scan.thumbs, queries, keys, max(data.spec.image_size) > near_duplicates_image.SIDE
    )


def _finding(data: DataModule, rows: np.ndarray, share: float, told: str, level: Level) -> Finding:
    index, part = data.table.index, part_of(data)
    pairs = [(f"{index.names[a]} ({PARTS[part[a]]})", index.names[b]) for a, b in rows[:KEPT].tolist()]
    agree = float(np.mean(index.targets[rows[:, 0]] == index.targets[rows[:, 1]]))
    listed = examples((f"{a} and {b} of train" for a, b in pairs), len(rows))
    message = (
        f"{told}, {percent(agree)} of them with its label: {listed}. "
        f"{_shown(data, rows[0])} If they are copies, what is measured is partly memory."
    )
    grouped = index.group is not None and level == "warning"
    evidence = {
        **{"share": share, "count": len(rows), "same_label": agree},
        **{"pairs": [list(pair) for pair in pairs], "rows": rows[:KEPT].tolist()},
    }
    where = ", ".join(PARTS[p] for p in np.unique(part[rows[:, 0]]))
    return Finding("near_duplicates", level, message, where, ("split=grouped",) if grouped else (), evidence)


def _shown(data: DataModule, pair: np.ndarray) -> str:
    """How to look at the pairs; of texts, the nearest pair itself."""
    if data.source.modality != "text":
        return "Look at them (--picture FILE)."
    one, other = (bytes(text).decode() for text in raw_inputs(data.table.inputs, pair))
    return f'"{one[:_LETTERS]}" and "{other[:_LETTERS]}".'
