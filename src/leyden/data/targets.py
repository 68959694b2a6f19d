"""What a data set's targets are: a class a row, any number of labels, numbers, or a text; read, verified, stratified.

The kind is how targets are stored, as Dense and Ragged are of inputs. A task (`leyden.tasks`) says which kind it
predicts and gives a source the reader that makes targets of a table's columns.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from leyden.data.class_names import MANY, are_measurements, is_missing_value, measurements_advice
from leyden.data.index import SHOWN, TEST, TRAIN, VAL, Index, encode
from leyden.data.index import Kind as Kind
from leyden.data.iterative_split import quantile_strata
from leyden.data.metadata import read_metadata
from leyden.data.text_files import composed
from leyden.data.transcripts import lengths_of, refuse_blank, spell
from leyden.utils.errors import UserError
from leyden.utils.text import and_more, plural

Columns = Mapping[str, Sequence[str]]  # name -> a cell for each row
WORDS = {
    "classes": "one class a row",
    "labels": "any number of labels a row",
    "values": "numbers",
    "sequences": "a transcript a row",
    "pairs": "one class a row of two inputs",
}
WITHOUT_CLASS = "<pair>"  # what every row is where pairs have no label column
HAS_CLASS_PRIOR = ("classes", "labels")  # kinds whose shares a loss may correct


class TargetReader(Protocol):
    """Makes targets of a table's label columns."""

    kind: ClassVar[Kind]

    def problems(self, columns: Columns) -> dict[int, str]:
        """Row -> why no target can be read of it."""

    def read(self, columns: Columns) -> tuple[np.ndarray, tuple[str, ...]]:
        """(targets (N,), (N, L) or (N, K), their names) of rows without problems.

        Raises:
            UserError: columns that this reader cannot make targets of.
        """

    def settings(self) -> dict[str, Any]:
        """What changes the targets, for the fingerprint of a source."""


@dataclass(frozen=True)
class ClassReader:
    """One column with the name of each row's class: int64 (N,), places in the sorted names.

    na_is_empty: whether NaN, null, None, N/A, NA and the like count as empty cells. is_needed: whether there must be a
    column; all rows are of one class without.
    """

    na_is_empty: bool = False
    is_needed: bool = True
    kind: ClassVar[Kind] = "classes"

    def problems(self, columns: Columns) -> dict[int, str]:
        """Empty cells."""
        return _problems(columns, self._is_name, "is empty; expected the name of a class")

    def _is_name(self, cell: str) -> bool:
        return bool(cell) and not (self.na_is_empty and is_missing_value(cell))

    def read(self, columns: Columns) -> tuple[np.ndarray, tuple[str, ...]]:
        """Numbers are sorted as numbers, all else by name."""
        if len(columns) > 1:
            raise UserError(
                f"data.source.label_column: task=classification reads one column, got {', '.join(columns)}; "
                "several columns are task=multilabel or task=regression"
            )
        (cells,) = columns.values()
        return encode(cells)

    def settings(self) -> dict[str, Any]:
        """What counts as empty, where that is more than nothing."""
        return asdict(self) if self.na_is_empty else {}


@dataclass(frozen=True)
class LabelReader:
    """Several labels a row: one column of names with a separator between them, or a column of 0 and 1 for each label.

    Gives uint8 (N, L) of 0 and 1; an empty cell is a row without labels.
    """

    separator: str = ";"
    kind: ClassVar[Kind] = "labels"
    FLAGS: ClassVar[dict[str, int]] = {"0": 0, "1": 1, "false": 0, "true": 1, "": 0, "no": 0, "yes": 1}

    def problems(self, columns: Columns) -> dict[int, str]:
        """Of several columns, cells that are not 0 or 1."""
        if len(columns) == 1:
            return {}
        return _problems(
            columns, lambda cell: cell.strip().lower() in self.FLAGS, "holds {}; expected 0 or 1"
        )

    def read(self, columns: Columns) -> tuple[np.ndarray, tuple[str, ...]]:
        """Names in sorted order, or those of the columns."""
        if len(columns) > 1:
            flags = [[self.FLAGS[cell.strip().lower()] for cell in cells] for cells in columns.values()]
            return np.array(flags, dtype=np.uint8).T, tuple(columns)
        (cells,) = columns.values()
        sets = [{label.strip() for label in cell.split(self.separator)} - {""} for cell in cells]
        _, names = encode([label for labels in sets for label in sorted(labels)])
        place = {name: i for i, name in enumerate(names)}
        targets = np.zeros((len(sets), len(names)), dtype=np.uint8)
        for row, labels in enumerate(sets):
            targets[row, [place[label] for label in labels]] = 1
        return targets, names

    def settings(self) -> dict[str, Any]:
        """The separator."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class ValueReader:
    """Numbers: one column for each value that is predicted. Gives float64 (N, K)."""

    kind: ClassVar[Kind] = "values"

    def problems(self, columns: Columns) -> dict[int, str]:
        """Cells that hold no finite number."""
        return _problems(
            columns, _is_number, "holds {}; expected a finite number with a decimal point, such as {}"
        )

    def read(self, columns: Columns) -> tuple[np.ndarray, tuple[str, ...]]:
        """Finite numbers, named after their columns."""
        values = [[float(cell) for cell in cells] for cells in columns.values()]
        return np.array(values, dtype=np.float64).T, tuple(columns)

    def settings(self) -> dict[str, Any]:
        """The kind."""
        return {"kind": self.kind}


def _problems(columns: Columns, fits: Callable[[str], bool], expected: str) -> dict[int, str]:
    """Row -> what is wrong with the first of its cells that does not fit.

    The first {} in `expected` is the cell, a second one a number as it should be written.
    """
    found: dict[int, str] = {}
    for name, cells in columns.items():
        for row, cell in enumerate(cells):
            if not fits(cell):
                found.setdefault(row, f"column {name!r} {expected.format(repr(cell), _example(cell))}")
    return found


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _example(cell: str) -> str:
    """A number as it should be written: that of the cell, where it has a decimal comma, or commas between thousands.

    >>> _example("1,5"), _example("1,234,567.8"), _example("1,234"), _example("x")
    ('1.5', '1234567.8', '1234 or 1.234, whichever is meant', '3.5')
    """
    with_point, without = cell.replace(",", "."), cell.replace(",", "")
    if not re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?", cell):
        return with_point if _is_number(with_point) else "3.5"
    return f"{without} or {with_point}, whichever is meant" if _is_number(with_point) else without


def kind_of(targets: np.ndarray) -> Kind:
    """Of int64 (N,): classes; uint8 (N, L): labels; int32 or int64 (N, L): sequences; float (N, K): values."""
    if targets.ndim == 1:
        return "classes"
    return "labels" if targets.dtype == np.uint8 else "sequences" if targets.dtype.kind == "i" else "values"


def make_index(
    where: str,
    labels: Sequence[str] | Columns,
    names: Sequence[str],
    split: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
    reader: TargetReader | None = None,
    metadata: Columns | None = None,
) -> Index:
    """An Index from strings. Names that differ in Unicode form alone are one; rows without a target are `unusable`.

    Args:
        where: names the data set in messages.
        labels: the cells of the label column (N,), or several columns by name.
        names: of the rows (N,).
        split: int8 (N,), or None.
        groups: (N,), or None.
        reader: makes targets of the label columns; None: one class a row.
        metadata: cells (N,) of further columns, by name; None: there are none.

    Raises:
        UserError: columns of another kind than the reader's.
    """
    reader = reader or ClassReader()
    written = labels if isinstance(labels, Mapping) else {"label": labels}
    columns = {name: list(map(composed, cells)) for name, cells in written.items()}
    unusable = reader.problems(columns)
    rows = [row for row in range(len(names)) if row not in unusable]
    found, target_names = reader.read({name: [cells[row] for row in rows] for name, cells in columns.items()})
    targets = np.zeros((len(names), *found.shape[1:]), found.dtype)
    targets[rows] = found
    group, group_names = (None, ()) if groups is None else encode(list(map(composed, groups)))
    group = None if group is None else group.astype(np.int32)
    notes = _forms(where, written)
    return Index(
        targets,
        target_names,
        split,
        group,
        group_names,
        names,
        metadata=read_metadata(metadata or {}),
        where=where,
        unusable=unusable,
        notes=notes,
    )


def _forms(where: str, written: Columns) -> tuple[str, ...]:
    """A note on names that are written in several Unicode forms."""
    forms = Counter(composed(cell) for cells in written.values() for cell in set(cells) if not cell.isascii())
    several = [name for name, n in forms.items() if n > 1]
    if not several:
        return ()
    return (
        f"{where}: {and_more(several, SHOWN)}: written in several Unicode forms (NFC, NFD), taken as one name each",
    )


def verify(index: Index, where: str) -> None:
    """Refuse targets that nothing can be learned of: no rows, one class, a class tested and not trained on.

    Raises:
        UserError: what is missing, and where.
    """
    if index.obstacle:
        raise UserError(index.obstacle)
    if not len(index):
        raise UserError(f"{where}: there are no samples")
    if index.split is not None and not (index.split == TRAIN).any():
        raise UserError(f"{where}: the given split has no training samples")
    _VERIFY[kind_of(index.targets)](index, where)


def _verify_classes(index: Index, where: str) -> None:
    if index.target_names == (WITHOUT_CLASS,):
        return
    counts = np.bincount(index.targets, minlength=len(index.target_names))
    if len(index.target_names) < 2:
        raise UserError(
            f"{where}: only one class found ({index.target_names[0]!r}, {plural(len(index), 'sample')}); "
            "classification needs at least two"
        )
    if len(counts) > MANY and len(index) < 2 * len(counts):
        advice = (
            measurements_advice(index.target_names)
            if are_measurements(index.target_names)
            else "name the column of the classes, data.source.label_column=..."
        )
        some = and_more(list(map(repr, index.target_names)), 3)
        raise UserError(f"{where}: {len(counts):,} classes in {len(index):,} rows, {some}: {advice}")
    if (counts == 0).any():
        lost = ", ".join(repr(index.target_names[c]) for c in np.flatnonzero(counts == 0))
        raise UserError(f"{where}: no sample is left of class {lost}")
    if index.split is not None:
        _verify_split(index, index.split, where)


def _verify_split(index: Index, given: np.ndarray, where: str) -> None:
    trained = set(index.targets[given == TRAIN].tolist())
    for split, name in ((VAL, "validation"), (TEST, "test")):
        unseen = Counter(index.targets[given == split].tolist()).keys() - trained
        if unseen:
            example = int(np.flatnonzero((given == split) & (index.targets == min(unseen)))[0])
            listed = ", ".join(repr(index.target_names[c]) for c in sorted(unseen)[:SHOWN])
            raise UserError(
                f"{where}: the {name} split has labels that no training sample has: {listed} "
                f"(first: {index.names[example]}); training has "
                f"{', '.join(repr(index.target_names[c]) for c in sorted(trained)[:SHOWN])}"
            )


def _verify_labels(index: Index, where: str) -> None:
    positives = index.targets.sum(axis=0)
    for name, n in zip(index.target_names, positives.tolist(), strict=True):
        if n in (0, len(index)):
            found = "no row has" if n == 0 else "every row has"
            raise UserError(f"{where}: {found} label {name!r}, so it cannot be learned; leave it out")
    if not len(index.target_names):
        raise UserError(f"{where}: no row has a label; expected names in the label column")


def _verify_values(index: Index, where: str) -> None:
    if not np.isfinite(index.targets).all():
        row = int(np.flatnonzero(~np.isfinite(index.targets).all(axis=1))[0])
        raise UserError(f"{where}: {index.names[row]}: a target is not finite")
    for name, spread in zip(index.target_names, np.ptp(index.targets, axis=0).tolist(), strict=True):
        if spread == 0:
            raise UserError(
                f"{where}: every row has the same {name!r}, so it cannot be learned; leave it out"
            )


def _verify_sequences(index: Index, where: str) -> None:
    refuse_blank(index.targets, lambda row: index.names[row], where)
    if len(index.target_names) < 2:
        raise UserError(f"{where}: every transcript is empty, so nothing can be learned")


_VERIFY = {
    "classes": _verify_classes,
    "labels": _verify_labels,
    "values": _verify_values,
    "sequences": _verify_sequences,
}


def strata(targets: np.ndarray) -> np.ndarray:
    """What a split keeps in the same shares: classes (N,), labels (N, L), or bins (N,) of values or lengths."""
    kind = kind_of(targets)
    if kind == "sequences":
        return quantile_strata(lengths_of(targets)[:, None].astype(np.float64))
    return quantile_strata(targets) if kind == "values" else targets


def sampling_classes(targets: np.ndarray) -> np.ndarray:
    """int64 (N,): what a sampling policy balances: the classes; one class of all rows where there are none."""
    return targets if kind_of(targets) == "classes" else np.zeros(len(targets), dtype=np.int64)


def describe_target(target: Any, names: Sequence[str]) -> str:
    """One row of targets as text: its class, its labels ("none" without one), its values by name, its transcript.

    >>> describe_target(1, ("cat", "dog")), describe_target(np.array([1, 0], np.uint8), ("cat", "dog"))
    ('dog', 'cat')
    >>> describe_target(np.array([2.5, 100.0], np.float32), ("width", "height"))
    'width 2.5, height 100'
    """
    if np.ndim(target) == 0:
        return names[int(target)]
    if target.dtype.kind == "f":
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(names, target, strict=True))
    if target.dtype.kind == "i":
        return spell(target, names)
    return ", ".join(name for name, has in zip(names, target, strict=True) if has) or "none"


def target_facts(targets: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Fields of a DataSpec that training targets give: class_counts (of transcripts: of units), or mean and std."""
    kind = kind_of(targets)
    if kind == "values":
        spread = targets.std(axis=0)
        spread[spread == 0] = 1.0  # constant in training: centred and left as it is
        return {"target_mean": tuple(targets.mean(axis=0).tolist()), "target_std": tuple(spread.tolist())}
    ids = targets[targets >= 0]  # without padding
    counts = targets.sum(axis=0) if kind == "labels" else np.bincount(ids, minlength=len(names))
    return {"class_counts": tuple(int(n) for n in counts)}
