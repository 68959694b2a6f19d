"""Columns: inputs decoded once, stored as .npy, memory-mapped, and gathered a whole batch at a time.

`load(source, cache)` gives a Table. Its inputs are Dense (images), Ragged (text, audio), or, above
`limit_gb`, Files that are decoded when a batch asks for them, by worker processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leyden.data.batch import Input
from leyden.data.decode import BadInput
from leyden.data.index import Index as Index
from leyden.data.index import PackedStrings as PackedStrings
from leyden.data.index import Source as Source
from leyden.data.modalities import modality_of
from leyden.utils.errors import UserError

Rows = Tensor | np.ndarray  # int64 (B,)


def _rows(rows: Rows) -> np.ndarray:
    return rows.numpy() if isinstance(rows, Tensor) else np.asarray(rows, dtype=np.int64)


class Dense:
    """Inputs of one shape: values (N, *shape)."""

    def __init__(self, values: np.ndarray) -> None:
        """See the class."""
        self.values = values
        self._tensor = torch.from_numpy(values)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input: (C, H, W) of images."""
        return tuple(self.values.shape[1:])

    def gather(self, rows: Rows) -> Input:
        """The inputs of these rows, (B, *shape), in the values' dtype."""
        return Input(self._tensor.index_select(0, torch.as_tensor(rows, dtype=torch.int64)))


class Ragged:
    """Inputs of different lengths: row i is values[offsets[i] : offsets[i+1]] of values (total,)."""

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        """See the class."""
        self.values, self.offsets = values, offsets

    def __len__(self) -> int:
        """How many rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 (N,)."""
        return np.diff(self.offsets)

    def row(self, row: int) -> np.ndarray:
        """The values of one row, (length,)."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def gather(self, rows: Rows) -> Input:
        """(B, T) in the values' dtype, padded with 0 to the longest of them, and the lengths int64 (B,)."""
        return pad([self.row(row) for row in _rows(rows).tolist()], self.values.dtype)


def pad(pieces: Sequence[np.ndarray], dtype: np.dtype[Any]) -> Input:
    """Sequences (n_i,) side by side: (B, max n) padded with 0, and the lengths int64 (B,)."""
    lengths = np.fromiter((len(piece) for piece in pieces), dtype=np.int64, count=len(pieces))
    values = np.zeros((len(pieces), lengths.max(initial=0)), dtype=dtype)
    for target, piece in zip(values, pieces, strict=True):
        target[: len(piece)] = piece
    return Input(torch.from_numpy(values), torch.from_numpy(lengths))


class FileColumn:
    """Inputs that stay files: decoded when gathered. Pickles, so that worker processes can do it.

    rows: int64 (N,), the source's row of each row here. lengths: int64 (N,) of audio; zeros for images.
    """

    def __init__(self, source: Source, rows: np.ndarray, lengths: np.ndarray, shape: tuple[int, ...]) -> None:
        """See the class."""
        self.source, self.rows, self.lengths, self.shape = source, rows, lengths, shape

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    def gather(self, rows: Rows) -> Input:
        """As Dense.gather for images, as Ragged.gather for audio; UserError for a file gone bad since."""
        try:
            items = [self.source.decode(row) for row in self.rows[_rows(rows)].tolist()]
        except BadInput as bad:
            raise UserError(f"{bad}; it was readable when the data was prepared") from bad
        if not modality_of(self.source).is_ragged:
            return Input(torch.from_numpy(np.stack(items)))
        return pad(items, items[0].dtype)


@dataclass(frozen=True)
class SkippedInputs:
    """Inputs left out because they could not be decoded: names (K,) and the reason of each."""

    names: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many rows."""
        return len(self.names)

    def lines(self) -> list[str]:
        """One "name: reason" for each."""
        return [f"{name}: {reason}" for name, reason in zip(self.names, self.reasons, strict=True)]


@dataclass(frozen=True)
class Table:
    """A data set ready to be split and gathered: row i of `index` belongs to row i of `inputs`."""

    index: Index
    inputs: Dense | Ragged | FileColumn
    facts: dict[str, Any]
    fingerprint: str
    skipped: SkippedInputs = field(default_factory=SkippedInputs)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.index)
