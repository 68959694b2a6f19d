"""Metadata: facts of rows that are no part of training, such as camera, site or age; they name slices of errors.

A table's columns that are used for nothing else are read as numbers (float64, NaN where there is none) or as texts (""
where there is none). A column of many different texts says nothing of groups of rows and is left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.data.class_names import is_missing_value, number
from leyden.data.text_files import composed
from leyden.utils.errors import UserError

MOST_VALUES = 1000  # different texts in a column; more are texts of their own, or names of rows
LONGEST = 100  # characters of such a text
Metadata = Mapping[str, NDArray[np.float64] | NDArray[np.str_]]


def read_metadata(columns: Mapping[str, Sequence[str]]) -> Metadata:
    """Cells (N,) by the name of their column -> facts (N,) by the same names."""
    found = {name: _fact(cells) for name, cells in columns.items()}
    return {name: values for name, values in found.items() if values is not None}


def _fact(cells: Sequence[str]) -> NDArray[np.float64] | NDArray[np.str_] | None:
    """None: a column without a value, or of free text."""
    read = {cell: _plain(cell) for cell in dict.fromkeys(cells)}
    distinct = set(read.values()) - {""}
    if not distinct:
        return None
    numbers = {text: number(text) for text in distinct}
    if not any(np.isnan(value) for value in numbers.values()):
        return np.array([numbers.get(read[cell], np.nan) for cell in cells], dtype=np.float64)
    if len(distinct) > MOST_VALUES or max(map(len, distinct)) > LONGEST:
        return None
    return np.array([read[cell] for cell in cells], dtype=np.str_)


def _plain(cell: str) -> str:
    """Without spaces around it and, where its bytes are no UTF-8, with question marks; nothing for a missing value."""
    text = composed(cell.strip()).encode("utf-8", "replace").decode()
    return "" if is_missing_value(text) else text


def verify_metadata(metadata: Mapping[str, NDArray[np.generic]], rows: int, where: str) -> None:
    """Refuse what a source of the user's own gives and cannot be kept.

    Raises:
        UserError: no array of numbers or texts, one for each row.
    """
    for name, values in metadata.items():
        kind = getattr(getattr(values, "dtype", None), "kind", "no array")
        if kind not in "biufU" or values.shape != (rows,):
            found = f"{values.dtype} {values.shape}" if kind != "no array" else type(values).__name__
            raise UserError(
                f"{where}: metadata {name!r} is {found}; expected an array of numbers or texts (np.str_) of shape "
                f"({rows},)"
            )
