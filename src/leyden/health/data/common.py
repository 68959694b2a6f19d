"""Words for shares and examples, and which rows stand in which part."""

from collections.abc import Iterable, Sequence

import numpy as np

from leyden.data.datamodule import DataModule

SHOWN = 3  # examples in a sentence
KEPT = 20  # examples in the evidence
PARTS = ("train", "val", "test")


def percent(share: float) -> str:
    """A share as it is read: 11.3 %, 0.05 %.

    >>> percent(0.1134), percent(0.0005), percent(0.0)
    ('11.3 %', '0.05 %', '0 %')
    """
    return f"{100 * share:.3g} %"


def examples(names: Iterable[str], count: int) -> str:
    """A few names, and how many more there are."""
    shown = list(names)[:SHOWN]
    more = f" and {count - len(shown):,} more" if count > len(shown) else ""
    return ", ".join(shown) + more


def names_of(data: DataModule, rows: Sequence[int] | np.ndarray, most: int = KEPT) -> list[str]:
    """The names of at most so many rows of the table."""
    return [data.table.index.names[int(row)] for row in rows[:most]]


def part_of(data: DataModule) -> np.ndarray:
    """int8 (N,): 0 train, 1 val, 2 test, -1 for rows of the table that are in none."""
    part = np.full(len(data.table), -1, dtype=np.int8)
    for code, rows in enumerate(data.splits):
        part[rows] = code
    return part
