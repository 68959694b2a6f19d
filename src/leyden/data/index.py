"""Index: what is known of a data set without decoding anything; and what every data set must satisfy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, overload, runtime_checkable

import numpy as np

from leyden.utils.errors import UserError, nearest

Kind = Literal["classes", "labels", "values", "sequences", "pairs"]  # of targets
TRAIN, VAL, TEST = 0, 1, 2
SPLIT_NAMES = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL, "test": TEST}
SHOWN = 20  # how many classes a message lists


class PackedStrings(Sequence[str]):
    """Strings as one buffer (total,) uint8 and offsets (N + 1,): a million names cost no million objects."""

    def __init__(self, values: np.ndarray, offsets: np.ndarray) -> None:
        """See the class."""
        self.values, self.offsets = values, offsets

    @classmethod
    def of(cls, strings: Iterable[str]) -> "PackedStrings":
        """Pack `strings`; bytes of a file's name that are no UTF-8 survive."""
        encoded = [s.encode("utf-8", "surrogateescape") for s in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        """One string, or a list of them for a slice."""
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        piece = self.values[self.offsets[row] : self.offsets[row + 1]]
        return piece.tobytes().decode("utf-8", "surrogateescape")


class NumberedNames(Sequence[str]):
    """Names made when asked for: "digit 0", "digit 1", ..., each the word and the row's number."""

    def __init__(self, word: str, rows: Sequence[int]) -> None:
        """See the class."""
        self.word, self.rows = word, rows

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        """One string, or a list of them for a slice."""
        if isinstance(row, slice):
            return [f"{self.word} {i}" for i in self.rows[row]]
        return f"{self.word} {self.rows[row]}"


@dataclass(frozen=True)
class Index:
    """N rows whose targets are known and whose inputs are not decoded yet.

    targets: int64 (N,) classes, places in target_names; uint8 (N, L) of 0 and 1, whether a row has each label;
        float64 (N, K) values; or int32 (N, L) transcripts, places in target_names padded with -1, never 0.
    target_names: of the classes, labels or values; of transcripts the blank and the units.
    names: one per row, for messages: a file, file:line, or "sample 17".
    split: int8 (N,), 0 train, 1 val, 2 test, where the data set comes with a split; None where it does not.
    group: int32 (N,), places in group_names (speaker, patient, author); None where there are no groups.
    truth: int32 (N, k), where the planted signal of a generated set is; its source says what the k numbers
    are.
    metadata: what else is known of rows, (N,) by name: numbers (NaN where unknown) or texts ("" where unknown). No
        part of training; slices of errors are named by it.
    where: names the data set in messages: a folder or a table.
    unusable: row -> why it has no target (a cell that is empty); left out with data.on_bad=skip.
    notes: what is worth knowing of how the data were read.
    obstacle: why nothing can be trained on these data, though a run can be evaluated on them.
    """

    targets: np.ndarray
    target_names: tuple[str, ...]
    split: np.ndarray | None = None
    group: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    names: Sequence[str] = ()
    truth: np.ndarray | None = None
    metadata: Mapping[str, np.ndarray] = field(default_factory=dict)
    where: str = ""
    unusable: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    obstacle: str = ""

    def __post_init__(self) -> None:
        """Rows without names are called by their number."""
        if not len(self.names):
            object.__setattr__(self, "names", NumberedNames("row", range(len(self.targets))))

    def __len__(self) -> int:
        """How many rows."""
        return len(self.targets)

    def take(self, rows: np.ndarray) -> "Index":
        """The index of these rows alone (int64 (M,)), in this order; classes and groups keep their places."""

        def pick(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return replace(
            self,
            targets=self.targets[rows],
            split=pick(self.split),
            group=pick(self.group),
            truth=pick(self.truth),
            metadata={name: values[rows] for name, values in self.metadata.items()},
            names=PackedStrings.of(self.names[int(row)] for row in rows),
            unusable={i: self.unusable[row] for i, row in enumerate(rows.tolist()) if row in self.unusable},
        )

    def usable(self) -> "Index":
        """The index of the rows that have a target."""
        if not self.unusable:
            return self
        return self.take(
            np.array([row for row in range(len(self)) if row not in self.unusable], dtype=np.int64)
        )


@runtime_checkable
class Source(Protocol):
    """Where a data set comes from; see docs/architecture.md. Nothing is read before a method asks for it."""

    modality: ClassVar[str]

    def fingerprint(self, cache: Path) -> str:
        """Hash of content and of the arguments that change decoded values; digests are kept in `cache`."""

    def index(self) -> Index:
        """Targets, their names, split, groups and names of the rows."""

    def decode(self, row: int) -> np.ndarray:
        """Image uint8 (C, H, W), text UTF-8 uint8 (n,), audio int16 (n,); raises BadInput for a bad file."""

    def facts(self) -> dict[str, Any]:
        """What a DataSpec needs beyond the index: {"sample_rate": 8000} for audio."""


def encode(values: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels or groups as places (N,) int64 in their sorted names; integers are sorted as numbers."""
    distinct = set(values)
    try:
        names = sorted(distinct, key=lambda value: (int(value), value))
    except ValueError:
        names = sorted(distinct)
    places = {name: place for place, name in enumerate(names)}
    return np.fromiter((places[v] for v in values), dtype=np.int64, count=len(values)), tuple(names)


def split_code(value: str, where: str) -> int:
    """0, 1 or 2 for the name of a split; `where` names the file and line."""
    code = SPLIT_NAMES.get(value.strip().lower())
    if code is None:
        raise UserError(f"{where}: split {value!r} is unknown: {nearest(value, SPLIT_NAMES)}")
    return code
