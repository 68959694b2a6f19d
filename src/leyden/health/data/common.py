"""Helpers of the data checks: percentages, lists of examples, the split of every row."""

from collections.abc import Iterable, Sequence

import numpy as np

from leyden.data.datamodule import DataModule

EXAMPLES = 3  # examples in a message
MAX_EVIDENCE = 20  # examples in the evidence
SPLITS = ("train", "val", "test")


def percent(share: float) -> str:
    """A share as a percentage with three significant digits: 11.3 %, 0.05 %.

    >>> percent(0.1134), percent(0.0005), percent(0.0)
    ('11.3 %', '0.05 %', '0 %')
    """
    return f"{100 * share:.3g} %"


def examples(names: Iterable[str], count: int) -> str:
    """The first names, and how many of `count` are not listed: "a, b, c and 4 more"."""
    listed = list(names)[:EXAMPLES]
    more = f" and {count - len(listed):,} more" if count > len(listed) else ""
    return ", ".join(listed) + more


def names_of(data: DataModule, rows: Sequence[int] | np.ndarray, most: int = MAX_EVIDENCE) -> list[str]:
    """Names of the first `most` of some rows (n,) of the table."""
    return [data.table.index.names[int(row)] for row in rows[:most]]


def split_codes(data: DataModule) -> np.ndarray:
    """int8 (N,): the split of every row: 0 train, 1 val, 2 test, -1 none."""
    codes = np.full(len(data.table), -1, dtype=np.int8)
    for code, rows in enumerate(data.splits):
        codes[rows] = code
    return codes
