"""Rows with several inputs: the tables of the parts, and which row of each belongs to a joint row.

A part that a row has not got is absent: batches say so by `Batch.present`, and its values mean nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from leyden.data.batch import Input
from leyden.data.cache import OnBad, bad_files, load
from leyden.data.index import Index
from leyden.data.loader import Column
from leyden.data.modalities import MODALITIES, Modality
from leyden.data.spec import DataSpec
from leyden.data.table import FileColumn, Rows, SkippedInputs, Source, Table
from leyden.data.tabular import TABULAR
from leyden.data.targets import verify
from leyden.utils.errors import UserError
from leyden.utils.text import plural

KNOWN: dict[str, Modality] = {**MODALITIES, TABULAR.name: TABULAR}
Places = Mapping[str, NDArray[np.int64]]  # part -> (N,), its row that belongs to each joint row; -1: absent


class Several(Modality):
    """The modality of rows with several inputs; what is asked of a row is asked of its parts.

    Args:
        parts: modality of each input, by its name.
    """

    name = "several"
    may_stay_files = False
    is_several = True

    def __init__(self, parts: Mapping[str, Modality]) -> None:
        """See the class."""
        self.parts = parts

    @classmethod
    def of(cls, spec: DataSpec) -> "Several":
        """The modality of the data that these facts are of; each input of one of Leyden's modalities."""
        return cls({name: KNOWN[part.modality] for name, part in spec.parts.items()})

    def key(self, values: Any) -> bytes:
        """Equal for rows whose parts are the same, those that are absent too. values: by name."""
        keys = (self.parts[name].key(values[name]) if name in values else None for name in self.parts)
        return repr(tuple(keys)).encode()

    def facts(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """None: each part has its own."""
        return {}

    def measures(self, values: Any, sample_rate: int) -> dict[str, float]:
        """Which parts a row has: 1 or 0 by name. values: by name."""
        return {f"has {name}": float(name in values) for name in self.parts}


class MultimodalSource(Protocol):
    """A source whose rows have several inputs, each from a source of its own."""

    parts: Mapping[str, Source]

    def fingerprint(self, cache: Path) -> str:
        """Of the parts and of how they are joined."""

    def join(self, indices: Mapping[str, Index]) -> tuple[Index, Places]:
        """The joint rows, of the parts' indices by name, and which row of each part belongs to each of them."""


@dataclass(frozen=True)
class Joined:
    """The inputs of a table whose rows have several.

    Args:
        tables: of the parts, by name.
        places: which row of each belongs to each joint row.
    """

    tables: Mapping[str, Table]
    places: Places

    def __len__(self) -> int:
        """How many joint rows."""
        return len(next(iter(self.places.values())))

    def row(self, row: int) -> dict[str, np.ndarray]:
        """The decoded inputs that a row has, by name."""
        return {
            name: table.inputs.row(int(self.places[name][row]))
            for name, table in self.tables.items()
            if self.places[name][row] >= 0
        }

    @property
    def stays_files(self) -> bool:
        """Whether a part is decoded when a batch asks for it."""
        return any(isinstance(table.inputs, FileColumn) for table in self.tables.values())

    def take(self, rows: NDArray[np.int64]) -> "Joined":
        """The same parts under these joint rows (n,) alone."""
        return Joined(self.tables, {name: places[rows] for name, places in self.places.items()})

    def part_table(self, name: str, index: Index) -> Table:
        """A part's table, each of its rows with targets, split and group of the first joint row that has it.

        Args:
            name: of the part.
            index: of the joint rows.
        """
        table, places = self.tables[name], self.places[name]
        used = np.flatnonzero(places >= 0)[::-1]
        first = np.zeros(len(table), dtype=np.int64)
        first[places[used]] = used
        joint = index.take(first)
        kept = {name: getattr(table.index, name) for name in ("names", "truth", "where", "notes")}
        return replace(table, index=replace(joint, **kept))


class PartColumn:
    """A part's column, gathered by joint rows. Pickles if the column does.

    Args:
        column: of the part's rows.
        places: (N,), the part's row that belongs to each joint row; -1: absent.
    """

    def __init__(self, column: Column, places: NDArray[np.int64]) -> None:
        """See the class."""
        self.column, self.places = column, places
        self._is_complete = bool((places >= 0).all())

    def present(self, rows: Rows) -> torch.Tensor | None:
        """bool (B,), which joint rows (B,) have the part; None: all rows of the table have."""
        return None if self._is_complete else torch.from_numpy(self._places_of(rows) >= 0)

    def _places_of(self, rows: Rows) -> NDArray[np.int64]:
        return self.places[rows.numpy() if isinstance(rows, torch.Tensor) else rows]

    def gather(self, rows: Rows) -> Input:
        """The inputs of joint rows (B,): those that are there, and zeros for the others."""
        places = self._places_of(rows)
        if self._is_complete:
            return self.column.gather(torch.from_numpy(places))
        wanted = places[places >= 0]
        there = self.column.gather(torch.from_numpy(wanted if len(wanted) else np.zeros(1, dtype=np.int64)))
        return spread(there, torch.from_numpy(places >= 0))


def spread(found: Input, present: torch.Tensor) -> Input:
    """Inputs of the samples that have one, of all samples: zeros where `present`, bool (B,), says that there is none.

    found: of at least as many samples as are present, in their order.
    """

    def whole(x: torch.Tensor) -> torch.Tensor:
        made = x.new_zeros((len(present), *x.shape[1:]))
        made[present] = x[: int(present.sum())]
        return made

    return found.map(whole)


def restricted(
    columns: Mapping[str, Column], names: Sequence[str]
) -> tuple[dict[str, Column], NDArray[np.bool_]]:
    """The columns with all inputs but `names` absent, and which joint rows (N,) have one of these."""
    found: dict[str, Column] = {}
    there: list[NDArray[np.bool_]] = []
    for name, column in columns.items():
        assert isinstance(column, PartColumn)
        kept = name in names
        found[name] = column if kept else PartColumn(column.column, np.full_like(column.places, -1))
        there += [column.places >= 0] if kept else []
    return found, np.any(there, axis=0)


def load_joined(source: MultimodalSource, cache: Path, on_bad: OnBad, limit_gb: float, trains: bool) -> Table:
    """The table of a source with several inputs, its parts decoded into `cache` as other sources are.

    With on_bad=skip an input that cannot be decoded is absent from its row, and a row without any input or target
    is left out.

    Raises:
        UserError: whatever is wrong with the data.
    """
    indices = {name: part.index() for name, part in source.parts.items()}
    for name, found in indices.items():
        if not len(found):
            raise UserError(f"{type(source).__name__}: no row has the input {name!r}: leave it out")
    tables = {name: load(part, cache, on_bad, limit_gb, trains=False) for name, part in source.parts.items()}
    index, places = source.join(indices)
    there = {name: _decoded(places[name], indices[name], tables[name].skipped) for name in source.parts}
    rows, skipped = _usable(index, there)
    if on_bad == "stop" and len(skipped):
        raise bad_files(source, index.where, skipped)
    facts = {name: table.facts for name, table in tables.items()}
    whole = SkippedInputs(
        *(
            sum((getattr(s, of) for s in (*(t.skipped for t in tables.values()), skipped)), ())
            for of in ("names", "reasons")
        )
    )
    index = index.take(rows) if len(rows) < len(index) else index
    if trains:
        verify(index, index.where or type(source).__name__)
    return Table(index, Joined(tables, there).take(rows), facts, source.fingerprint(cache), whole)


def rows_where(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64 (N,): numbers 0, 1, ... of the rows that are there, -1 of the others."""
    return np.where(there, np.cumsum(there) - 1, -1)


def _decoded(places: NDArray[np.int64], index: Index, skipped: SkippedInputs) -> NDArray[np.int64]:
    """Places (N,) in a part's table, of places in its index: those that could not be decoded are absent."""
    if not len(skipped):
        return places
    lost = set(skipped.names)
    moved = rows_where(np.array([name not in lost for name in index.names]))
    return np.where(places >= 0, moved[places], -1)


def _usable(index: Index, places: Places) -> tuple[NDArray[np.int64], SkippedInputs]:
    """The joint rows with a target and an input, and the others with the reason."""
    found = np.stack(list(places.values())) >= 0
    reasons = {
        int(row): f"has none of the inputs {', '.join(places)}" for row in np.flatnonzero(~found.any(axis=0))
    }
    reasons |= index.unusable
    lost = sorted(reasons)
    rows = np.setdiff1d(np.arange(len(index)), np.array(lost, dtype=np.int64))
    if not len(rows):
        raise UserError(
            f"{index.where}: none of the {plural(len(index), 'row')} can be used; the first: {index.names[0]} "
            f"{reasons[0]}"
        )
    return rows, SkippedInputs(tuple(index.names[row] for row in lost), tuple(reasons[row] for row in lost))
