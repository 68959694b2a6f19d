"""Index: what is known of a data set without decoding anything; and what every data set must satisfy."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, overload, runtime_checkable

import numpy as np

from leyden.utils.errors import UserError, nearest

TRAIN, VAL, TEST = 0, 1, 2
SPLIT_NAMES = {"train": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL, "test": TEST}
SHOWN = 20  # how many files or lines a message lists


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
    """N rows whose labels are known and whose inputs are not decoded yet.

    labels: int64 (N,), places in class_names.
    names: one per row, for messages: a file, file:line, or "sample 17".
    split: int8 (N,), 0 train, 1 val, 2 test, where the data set comes with a split; None where it does not.
    group: int32 (N,), places in group_names (speaker, patient, author); None where there are no groups.
    truth: int32 (N, k), where the planted signal of a generated set is; its source says what the k numbers
    are.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    split: np.ndarray | None = None
    group: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    names: Sequence[str] = ()
    truth: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Rows without names are called by their number."""
        if not len(self.names):
            object.__setattr__(self, "names", NumberedNames("row", range(len(self.labels))))

    def __len__(self) -> int:
        """How many rows."""
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "Index":
        """The index of these rows alone (int64 (M,)), in this order; classes and groups keep their places."""

        def pick(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return replace(
            self,
            labels=self.labels[rows],
            split=pick(self.split),
            group=pick(self.group),
            truth=pick(self.truth),
            names=PackedStrings.of(self.names[int(row)] for row in rows),
        )


@runtime_checkable
class Source(Protocol):
    """Where a data set comes from; see docs/architecture.md. Nothing is read before a method asks for it."""

    modality: ClassVar[str]

    def fingerprint(self, cache: Path) -> str:
        """Hash of content and of the arguments that change decoded values; digests are kept in `cache`."""

    def index(self) -> Index:
        """Labels, classes, split, groups and names."""

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


def make_index(
    where: str,
    labels: Sequence[str],
    names: Sequence[str],
    split: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
) -> Index:
    """An Index from label and group strings, verified; `where` names the data set in messages."""
    codes, class_names = encode(labels)
    group, group_names = (None, ()) if groups is None else encode(groups)
    group = None if group is None else group.astype(np.int32)
    index = Index(codes, class_names, split, group, group_names, names)
    verify(index, where)
    return index


def verify(index: Index, where: str) -> None:
    """Raise UserError unless there are two classes with samples and every class tested is also trained on."""
    if not len(index):
        raise UserError(f"{where}: there are no samples")
    counts = np.bincount(index.labels, minlength=len(index.class_names))
    if len(index.class_names) < 2:
        raise UserError(
            f"{where}: only one class found ({index.class_names[0]!r}, {len(index)} samples); "
            "classification needs at least two"
        )
    if (counts == 0).any():
        lost = ", ".join(repr(index.class_names[c]) for c in np.flatnonzero(counts == 0))
        raise UserError(f"{where}: no sample is left of class {lost}")
    if index.split is not None:
        _verify_split(index, where)


def _verify_split(index: Index, where: str) -> None:
    assert index.split is not None
    trained = set(index.labels[index.split == TRAIN].tolist())
    if not trained:
        raise UserError(f"{where}: the given split has no training samples")
    for split, name in ((VAL, "validation"), (TEST, "test")):
        unseen = Counter(index.labels[index.split == split].tolist()).keys() - trained
        if unseen:
            example = int(np.flatnonzero((index.split == split) & (index.labels == min(unseen)))[0])
            listed = ", ".join(repr(index.class_names[c]) for c in sorted(unseen)[:SHOWN])
            raise UserError(
                f"{where}: the {name} split has labels that no training sample has: {listed} "
                f"(first: {index.names[example]}); training has "
                f"{', '.join(repr(index.class_names[c]) for c in sorted(trained)[:SHOWN])}"
            )


def split_code(value: str, where: str) -> int:
    """0, 1 or 2 for the name of a split; `where` names the file and line."""
    code = SPLIT_NAMES.get(value.strip().lower())
    if code is None:
        raise UserError(f"{where}: split {value!r} is unknown: {nearest(value, SPLIT_NAMES)}")
    return code


def listed(lines: Sequence[str]) -> str:
    """The first `SHOWN` lines, one a line and indented, and how many more there are."""
    more = f"\n  ... and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "".join(f"\n  {line}" for line in lines[:SHOWN]) + more
