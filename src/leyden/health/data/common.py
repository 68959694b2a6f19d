"""Helpers of the data checks: percentages, lists of examples, the split of every row."""

from collections.abc import Iterable, Sequence

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.targets import describe_target, kind_of
from leyden.utils.text import and_more

EXAMPLES = 3  # examples in a message
MAX_EVIDENCE = 20  # examples in the evidence
SPLITS = ("train", "val", "test")


def examples(names: Iterable[str], count: int) -> str:
    """The first names, and how many of `count` are not listed: "a, b, c and 4 more"."""
    return and_more(list(names), EXAMPLES, count)


def names_of(data: DataModule, rows: Sequence[int] | np.ndarray, most: int = MAX_EVIDENCE) -> list[str]:
    """Names of the first `most` of some rows (n,) of the table."""
    return [data.table.index.names[int(row)] for row in rows[:most]]


def no_check(data: DataModule) -> str:
    """Summary of a check that there is not for a modality of the user's own."""
    return f"there is no such check for modality {data.modality.name}"


def split_codes(data: DataModule) -> np.ndarray:
    """int8 (N,): the split of every row: 0 train, 1 val, 2 test, -1 none."""
    codes = np.full(len(data.table), -1, dtype=np.int8)
    for code, rows in enumerate(data.splits):
        codes[rows] = code
    return codes


SAME_VALUE = 0.01  # of a target's deviation in train: values that are closer are the same


def agreement(data: DataModule) -> np.ndarray:
    """float (K,): up to which difference two rows have the same target; 0 for classes, labels and units."""
    index = data.table.index
    if kind_of(index.targets) != "values":
        return np.zeros(1 if index.targets.ndim == 1 else index.targets.shape[1])
    return np.asarray(SAME_VALUE * index.targets[data.splits.train].std(axis=0))


def target_columns(data: DataModule, rows: np.ndarray) -> np.ndarray:
    """float (n, K): the targets of rows (n,); K = 1 for classes."""
    found = data.table.index.targets[rows].astype(np.float64)
    return found[:, None] if found.ndim == 1 else found


def target_name(data: DataModule, row: int) -> str:
    """What a row's target is, in words: its class, its labels, or its values."""
    index = data.table.index
    if kind_of(index.targets) == "values":
        return ", ".join(f"{value:.4g}" for value in index.targets[row])
    return describe_target(index.targets[row], index.target_names)
