"""Numbers and categories of a table's row as one input, float32 (D,): numbers, then the places of categories."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.data.modalities import Modality, Values
from leyden.data.spec import DataSpec
from leyden.utils.errors import UserError
from leyden.utils.text import plural


class Tabular(Modality):
    """Rows of numbers (NaN where a cell is empty) and of categories by their place (0 where empty or unknown)."""

    name = "table"
    attribute_to = "cells"
    may_stay_files = False
    is_written = True
    may_repeat = True

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """How many columns there are."""
        return {"in_channels": shape[0]}

    def measures(self, values: Values, sample_rate: int) -> dict[str, float]:
        """How many numbers are missing."""
        return {"missing numbers": float(np.isnan(values).sum())}

    def sketch(self, values: Values) -> NDArray[np.float64]:
        """The row, 0 where a number is missing."""
        return np.nan_to_num(values.astype(np.float64))

    def describe(self, spec: DataSpec, length: int | None = None) -> str:
        """How many columns there are."""
        return plural(spec.in_channels, "column")

    def written(self, values: Values, spec: DataSpec) -> str:
        """The columns that have a value, as "age=40, site=north"."""
        return ", ".join(f"{name}={cell}" for name, cell in self._cells(values, spec) if cell)

    def cells(self, values: Values, spec: DataSpec) -> tuple[str, ...]:
        """Every column as "age=40", an empty one as "age="."""
        return tuple(f"{name}={cell}" for name, cell in self._cells(values, spec))

    def _cells(self, values: Values, spec: DataSpec) -> Iterator[tuple[str, str]]:
        """Yield the name of every column with what it holds, "" where it is empty."""
        for name, value in zip(spec.numbers, values.tolist(), strict=False):
            yield name, "" if np.isnan(value) else f"{value:.6g}"
        places = values[len(spec.numbers) :].astype(int).tolist()
        for (name, of), place in zip(spec.categories.items(), places, strict=True):
            yield name, of[place - 1] if place else ""

    def from_array(self, values: Values, spec: DataSpec) -> list[Values]:
        """(D,) or (N, D) in the order of the run's columns."""
        if values.ndim not in (1, 2) or values.shape[-1] != spec.in_channels:
            raise UserError(
                f"predict: an array is {values.shape}; expected ({spec.in_channels},) or (N, ...)"
            )
        return list(values.reshape(-1, spec.in_channels).astype(np.float32))

    def read(
        self, file: str, spec: DataSpec, tokenizer: Any, source: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], Values]]]:
        """Not from a file of its own: its cells stand beside other inputs.

        Raises:
            UserError: always.
        """
        raise UserError(f"{file}: numbers and categories are read as columns of a table of all inputs")


def recoded(
    values: NDArray[np.float32], given: Mapping[str, Sequence[str]], spec: DataSpec
) -> NDArray[np.float32]:
    """Rows (N, D) of other data with the places that categories have in a run; 0 where the run does not know a value.

    given: names of the values of each column of categories in these data.
    """
    found = values.copy()
    for column, names in enumerate(spec.categories, len(spec.numbers)):
        own = {name: place for place, name in enumerate(spec.categories[names], 1)}
        places = np.array([0, *(own.get(name, 0) for name in given[names])], dtype=np.float32)
        found[:, column] = places[values[:, column].astype(np.int64)]
    return found


TABULAR = Tabular()
