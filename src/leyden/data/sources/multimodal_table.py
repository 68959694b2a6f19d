"""One table with a column for each input: pictures, texts, recordings, and numbers and categories beside them."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leyden.data.class_names import is_missing_value, number
from leyden.data.decode import decode_text
from leyden.data.fingerprint import fingerprint
from leyden.data.index import Index, Source
from leyden.data.joined import KNOWN, Places, Several, rows_where
from leyden.data.sources.audio import AudioFolder, Rate, Seconds
from leyden.data.sources.file_lists import Listing, file_at, folder_at, listed_files
from leyden.data.sources.image import Channels, ImageFolder, Size
from leyden.data.sources.multimodal import Multimodal, digest_of
from leyden.data.sources.tables import TableFormat, TextTable, read_table
from leyden.data.tabular import TABULAR
from leyden.data.targets import WITHOUT_CLASS, ClassReader, TargetReader, make_index
from leyden.utils.errors import UserError


class MultimodalTable(Multimodal):
    """A CSV, TSV or JSONL file with a column for each input; an empty cell is an input that the row has not got.

    Args:
        csv: the file.
        root: the folder that paths in it are relative to; None: the file's own.
        image, text, audio: the columns of pictures (paths), texts and recordings (paths); None: there is none.
        numbers, categories: columns that together are one more input, `table`.
        label_column, split_column, group_column: as in ImageManifest; label_column=None: pairs without classes.
        size, channels: of pictures, as in ImageFolder.
        sample_rate, max_seconds: of recordings, as in AudioFolder.
        inputs: which of the inputs are used; None: all.
        delimiter, encoding: as in TextTable.

    Raises:
        UserError: no column of an input.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        image: str | None = None,
        text: str | None = None,
        audio: str | None = None,
        numbers: Sequence[str] = (),
        categories: Sequence[str] = (),
        label_column: str | list[str] | None = "label",
        split_column: str | None = None,
        group_column: str | None = None,
        size: Size | None = None,
        channels: Channels | None = None,
        sample_rate: Rate | None = None,
        max_seconds: Seconds | None = None,
        inputs: Sequence[str] | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        self._csv, self._root, self._reader = csv, root, reader or ClassReader()
        self._columns = {"image": image, "text": text, "audio": audio}
        self._numbers, self._categories = tuple(numbers), tuple(categories)
        self._labels, self._split, self._group = label_column, split_column, group_column
        self._image, self._audio = (size, channels), (sample_rate, max_seconds)
        self._written = TableFormat(delimiter, encoding)
        self._used = self._chosen(inputs)
        self.modality = Several({name: KNOWN[name] for name in self._used})  # type: ignore[misc]

    def _chosen(self, inputs: Sequence[str] | None) -> tuple[str, ...]:
        there = [name for name, column in self._columns.items() if column]
        there += [TABULAR.name] if self._numbers or self._categories else []
        if not there:
            raise UserError(
                "data.source: no column of an input: name at least one, data.source.image=COLUMN, text=, audio=, "
                "numbers=[...] or categories=[...]"
            )
        for name in inputs or ():
            if name not in there:
                raise UserError(
                    f"data.source.inputs: there is no input {name!r}; there are {', '.join(there)}"
                )
        if inputs is not None and not inputs:
            raise UserError(
                f"data.source.inputs=[]: name at least one of {', '.join(there)}, or leave it out"
            )
        return tuple(there if inputs is None else inputs)

    @cached_property
    def _file(self) -> Path:
        return file_at(self._csv, "data.source.csv")

    @cached_property
    def _table(self) -> TextTable:
        found = read_table(self._file, self._written)
        if not found.rows:
            raise UserError(f"{self._file} has no rows: expected one for each sample below the header")
        return found

    @cached_property
    def _index(self) -> Index:
        """All rows."""
        table, labels = self._table, self._labels
        given = [labels] if labels is None or isinstance(labels, str) else labels
        used = [*self._columns.values(), *self._numbers, *self._categories, *given, self._split, self._group]
        groups = None if self._group is None else table.column(self._group, "data.source.group_column")
        found = make_index(
            *(str(self._file), self._targets, table.places(), table.split(self._split), groups),
            *(self._reader, table.others(used)),
        )
        return replace(found, notes=(*table.notes, *found.notes))

    @property
    def _targets(self) -> Mapping[str, Sequence[str]]:
        """The label columns; without one, all rows are of the same class."""
        if self._labels is not None:
            return self._table.labels(self._labels)
        if getattr(self._reader, "is_needed", True):
            raise UserError(
                "data.source.label_column=null: name the column of the targets; only task=contrastive does without"
            )
        return {"": [WITHOUT_CLASS] * len(self._table.rows)}

    def _cells(self, column: str, field: str) -> list[str]:
        return [cell.strip() for cell in self._table.column(column, f"data.source.{field}", empty=True)]

    @cached_property
    def _there(self) -> dict[str, NDArray[np.bool_]]:
        """bool (N,), which rows have an input, by its name."""
        found = {}
        for name in self._used:
            # "none" may be a text, but is no path
            is_empty: Callable[[str], bool] = operator.not_ if KNOWN[name].is_text else _is_empty
            single = self._columns.get(name)
            columns = [single] if single else [*self._numbers, *self._categories]
            field = name if single else "numbers"
            cells = zip(*(self._cells(column, field) for column in columns), strict=True)
            found[name] = np.array([not all(map(is_empty, row)) for row in cells])
        return found

    @cached_property
    def parts(self) -> Mapping[str, Source]:  # type: ignore[override]
        """A source of the rows that have it, for each input."""
        return {name: self._part(name) for name in self._used}

    def _part(self, name: str) -> Source:
        makers: dict[str, Callable[[NDArray[np.int64], Index], Source]] = {
            "image": lambda rows, index: ImageColumn(self._paths("image", rows, index), *self._image),
            "audio": lambda rows, index: AudioColumn(self._paths("audio", rows, index), *self._audio),
            "text": self._texts,
            TABULAR.name: self._row_cells,
        }
        rows = np.flatnonzero(self._there[name])
        return makers[name](rows, replace(self._index.take(rows), unusable={}))

    def _texts(self, rows: NDArray[np.int64], index: Index) -> "TextColumn":
        column = str(self._columns["text"])
        cells = self._table.column(column, "data.source.text", empty=True)
        return TextColumn(self._file, column, [cells[row] for row in rows.tolist()], index)

    def _row_cells(self, rows: NDArray[np.int64], index: Index) -> "TableColumns":
        return TableColumns(self._file, self._table, index, rows, self._numbers, self._categories)

    def _paths(self, name: str, rows: NDArray[np.int64], index: Index) -> "PathColumn":
        column, chosen = str(self._columns[name]), rows.tolist()
        base = folder_at(self._root) if self._root is not None else self._file.parent
        there = replace(
            self._table,
            rows=[self._table.rows[row] for row in chosen],
            lines=[self._table.lines[row] for row in chosen],
        )
        files = listed_files(there, base, column, f"data.source.{name}") if chosen else []
        return PathColumn(self._file, column, Listing(str(self._file), base, files, ()), index)

    def fingerprint(self, cache: Path) -> str:
        """Of the table, the columns and the inputs' content."""
        digests = {name: part.fingerprint(cache) for name, part in self.parts.items()}
        columns = {name: self._columns.get(name) for name in self._used}
        arguments = {
            "columns": columns,
            "targets": [self._labels, self._split, self._group],
            **self._reader.settings(),
            **self._written.settings(),
        }
        return fingerprint(self, arguments, {"csv": digest_of(self._file, cache), **digests})

    def join(self, indices: Mapping[str, Index]) -> tuple[Index, Places]:
        """Every row of the table."""
        return self._index, {name: rows_where(self._there[name]) for name in self._used}


@dataclass(frozen=True)
class PathColumn:
    """A column of paths: the rows that have one.

    Args:
        table: the table's file.
        column: its name.
        listing: the files.
        rows: targets and names of their rows.
    """

    table: Path
    column: str
    listing: Listing
    rows: Index

    def index(self) -> Index:
        """Files are called by their path relative to the root."""
        return replace(self.rows, names=tuple(self.listing.files))

    def fingerprint(self, source: object, arguments: Mapping[str, Any], cache: Path) -> str:
        """Of the table, the column, the files' content and what changes their decoded values."""
        digests = {"": digest_of(self.table, cache), **self.listing.digests(cache)}
        return fingerprint(source, {"column": self.column, **arguments}, digests)


class _OfColumn:
    """What sources of a column of paths share."""

    given: PathColumn

    def index(self) -> Index:
        """The rows that have a path."""
        return self.given.index()

    def fingerprint(self, cache: Path) -> str:
        """Of the table, the column, the files' content and what changes their decoded values."""
        return self.given.fingerprint(self, self._arguments(), cache)  # type: ignore[attr-defined]


class ImageColumn(_OfColumn, ImageFolder):
    """Pictures that a table's column names."""

    def __init__(self, given: PathColumn, size: Size | None, channels: Channels | None) -> None:
        """See the class."""
        super().__init__("", size, channels)
        self.given = given

    @cached_property
    def _listing(self) -> Listing:
        return self.given.listing


class AudioColumn(_OfColumn, AudioFolder):
    """Recordings that a table's column names."""

    def __init__(self, given: PathColumn, sample_rate: Rate | None, max_seconds: Seconds | None) -> None:
        """See the class."""
        super().__init__("", sample_rate, max_seconds)
        self.given = given

    @cached_property
    def _listing(self) -> Listing:
        return self.given.listing


class TextColumn:
    """Texts of a table's column."""

    modality: ClassVar[str] = "text"

    def __init__(self, file: Path, column: str, texts: Sequence[str], index: Index) -> None:
        """See the class."""
        self._file, self._column, self._texts, self._index = file, column, texts, index

    def fingerprint(self, cache: Path) -> str:
        """Of the table and the column."""
        return fingerprint(self, {"column": self._column}, {"": digest_of(self._file, cache)})

    def index(self) -> Index:
        """The rows that have a text."""
        return self._index

    def decode(self, row: int) -> np.ndarray:
        """uint8 (n,), UTF-8; BadInput for bytes that are no UTF-8."""
        return decode_text(self._texts[row], self._index.names[row])

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}


class TableColumns:
    """Numbers and categories of a table as one input.

    Raises:
        UserError: a cell of a column of numbers that is neither a number nor empty.
    """

    modality: ClassVar[Any] = TABULAR

    def __init__(
        self,
        file: Path,
        table: TextTable,
        index: Index,
        rows: NDArray[np.int64],
        numbers: Sequence[str],
        categories: Sequence[str],
    ) -> None:
        """See the class."""
        self._file, self._table, self._index, self._rows = file, table, index, rows
        self._numbers, self._categories = tuple(numbers), tuple(categories)

    @cached_property
    def _values(self) -> tuple[NDArray[np.float32], dict[str, list[str]]]:
        """float32 (N, D), and the names of each category, whose places begin with 1."""
        columns, names = [], {}
        for column in self._numbers:
            cells = self._table.column(column, "data.source.numbers", empty=True)
            columns.append([self._number(column, row, cells[row].strip()) for row in self._rows.tolist()])
        for column in self._categories:
            cells = [c.strip() for c in self._table.column(column, "data.source.categories", empty=True)]
            names[column] = sorted({cell for cell in cells if not _is_empty(cell)})
            place = {cell: i for i, cell in enumerate(names[column], 1)}
            columns.append([float(place.get(cells[row], 0)) for row in self._rows.tolist()])
        return np.array(columns, dtype=np.float32).T.reshape(len(self._rows), len(columns)), names

    def _number(self, column: str, row: int, cell: str) -> float:
        found = float("nan") if _is_empty(cell) else number(cell)
        if np.isnan(found) and not _is_empty(cell):
            raise UserError(
                f"{self._file}:{self._table.lines[row]}: column {column!r} holds {cell!r}; expected a number, or an "
                "empty cell; a column of words is named by data.source.categories"
            )
        return found

    def fingerprint(self, cache: Path) -> str:
        """Of the table and the columns."""
        columns = {"numbers": self._numbers, "categories": self._categories}
        return fingerprint(self, columns, {"": digest_of(self._file, cache)})

    def index(self) -> Index:
        """The rows that have a number or a category."""
        return self._index

    def decode(self, row: int) -> np.ndarray:
        """float32 (D,): numbers, NaN where empty, then places of categories, 0 where empty."""
        found: NDArray[np.float32] = self._values[0][row]
        return found

    def facts(self) -> dict[str, Any]:
        """`numbers`: their columns; `categories`: the values of each of their columns."""
        return {"numbers": self._numbers, "categories": self._values[1]}


def _is_empty(cell: str) -> bool:
    return not cell or is_missing_value(cell)
