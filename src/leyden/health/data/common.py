"""Helpers of the data checks: percentages, lists of examples, the split of every row."""

from collections.abc import Iterable, Sequence

import numpy as np

from leyden.data.datamodule import DataModule
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


def split_codes(data: DataModule) -> np.ndarray:
    """int8 (N,): the split of every row: 0 train, 1 val, 2 test, -1 none."""
    codes = np.full(len(data.table), -1, dtype=np.int8)
    for code, rows in enumerate(data.splits):
        codes[rows] = code
    return codes
