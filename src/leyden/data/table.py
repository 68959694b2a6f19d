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
_WORDS = 64  # words of eight bytes of a dense input in its quick key
_POINTS = 48  # values of a ragged input in its quick key


def _rows(rows: Rows) -> np.ndarray:
    return rows.numpy() if isinstance(rows, Tensor) else np.asarray(rows, dtype=np.int64)


class Dense:
    """Inputs of one shape: values (N, *shape)."""

    stays_files = False

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

    def row(self, row: int) -> np.ndarray:
        """The values of one row, (*shape)."""
        found: np.ndarray = self.values[row]
        return found

    def quick_keys(self, rows: np.ndarray) -> np.ndarray:
        """uint64 (n,): equal for identical inputs and rarely for others, of evenly spaced words of eight bytes."""
        flat = self.values.reshape(len(self), -1).view(np.uint8)
        whole = flat.shape[1] // 8
        if whole == 0:
            return _hash_columns([flat[rows, byte].astype(np.uint64) for byte in range(flat.shape[1])])
        words = np.unique(np.linspace(0, whole - 1, min(whole, _WORDS)).astype(np.int64))
        key = np.zeros(len(rows), dtype=np.uint64)
        for start in range(0, len(rows), 4096):  # blocks that fit into the processor's cache
            chosen = flat[rows[start : start + 4096], : whole * 8].view(np.uint64)
            key[start : start + 4096] = _hash_columns([chosen[:, word] for word in words.tolist()])
        return key

    def gather(self, rows: Rows) -> Input:
        """The inputs of these rows, (B, *shape), in the values' dtype."""
        return Input(self._tensor.index_select(0, torch.as_tensor(rows, dtype=torch.int64)))

    def copy_on(self, device: torch.device) -> Tensor:
        """All values (N, *shape) on a device; columns that have no such method stay where they are."""
        return self._tensor.to(device, copy=True)


class Ragged:
    """Inputs of different lengths: row i is values[offsets[i] : offsets[i+1]] of values (total,)."""

    stays_files = False

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

    def quick_keys(self, rows: np.ndarray) -> np.ndarray:
        """As Dense.quick_keys, of the length and evenly spaced values."""
        lengths, begins = self.lengths[rows], self.offsets[rows]
        columns = [lengths.astype(np.uint64)]
        last = len(self.values) - 1
        for share in np.linspace(0.02, 0.98, _POINTS):
            places = np.clip(begins + (lengths * share).astype(np.int64), 0, last)
            # an empty row has no value of its own; floats by their bits
            columns.append(np.where(lengths > 0, _bits(self.values[places]), 0))
        return _hash_columns(columns)

    def gather(self, rows: Rows) -> Input:
        """(B, T) in the values' dtype, padded with 0 to the longest of them, and the lengths int64 (B,)."""
        return pad([self.row(row) for row in _rows(rows).tolist()], self.values.dtype)


def _bits(values: np.ndarray) -> np.ndarray:
    """uint64 (n,): equal for equal values."""
    plain = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    return plain.view(np.uint64)


def _hash_columns(columns: list[np.ndarray]) -> np.ndarray:
    """A key uint64 (n,) from columns uint64 (n,), by multiplicative hashing (Knuth 6.4)."""
    key = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


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

    stays_files = True

    def __init__(self, source: Source, rows: np.ndarray, lengths: np.ndarray, shape: tuple[int, ...]) -> None:
        """See the class."""
        self.source, self.rows, self.lengths, self.shape = source, rows, lengths, shape

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    def row(self, row: int) -> np.ndarray:
        """One decoded input."""
        return self.source.decode(int(self.rows[row]))

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
    """A data set ready to be split and gathered: row i of `index` belongs to row i of `inputs`.

    inputs: Dense, Ragged or FileColumn, or leyden.data.joined.Joined where rows have several.
    """

    index: Index
    inputs: Any
    facts: dict[str, Any]
    fingerprint: str
    skipped: SkippedInputs = field(default_factory=SkippedInputs)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.index)
