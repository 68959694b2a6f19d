"""Tables of text: CSV, TSV and JSONL files as named columns of strings, each row with its line for messages.

Bytes that are no UTF-8 are kept as surrogates, so that only the rows that hold them are bad.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leyden.data.index import split_code
from leyden.utils.errors import UserError, nearest

DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class TextTable:
    """Rows of strings with named columns; lines holds the line in the file where each row begins."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    def place(self, row: int) -> str:
        """file:line of a row."""
        return f"{self.path.name}:{self.lines[row]}"

    def places(self) -> list[str]:
        """file:line of every row."""
        return [f"{self.path.name}:{line}" for line in self.lines]

    def column(self, name: str, field: str, empty: bool = False) -> list[str]:
        """One column; UserError for an unknown name and, unless `empty`, for cells empty or not UTF-8."""
        if name not in self.header:
            raise UserError(f"{field}: {self.path} has no column {name!r}: {nearest(name, self.header)}")
        place = self.header.index(name)
        values = [row[place] for row in self.rows]
        if not empty:
            values = [value.strip() for value in values]
            for row, value in enumerate(values):
                if not value or not _is_utf8(value):
                    reason = "is empty" if not value else "is not UTF-8"
                    raise UserError(f"{self.path}:{self.lines[row]}: column {name!r} {reason}")
        return values

    def labels(self, names: str | Sequence[str]) -> dict[str, list[str]]:
        """The label columns by name; cells may be empty, which the reader of the targets judges.

        Raises:
            UserError: a column that is not there, or a cell that is not UTF-8.
        """
        found = {}
        for name in [names] if isinstance(names, str) else names:
            cells = [cell.strip() for cell in self.column(name, "data.source.label_column", empty=True)]
            for row, cell in enumerate(cells):
                if not _is_utf8(cell):
                    raise UserError(f"{self.path}:{self.lines[row]}: column {name!r} is not UTF-8")
            found[name] = cells
        return found

    def split(self, name: str | None) -> np.ndarray | None:
        """int8 (N,) of a column of split names; None where there is no such column asked for."""
        if name is None:
            return None
        values = self.column(name, "data.source.split_column")
        codes = (split_code(v, f"{self.path}:{line}") for v, line in zip(values, self.lines, strict=True))
        return np.fromiter(codes, dtype=np.int8, count=len(values))


def _is_utf8(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def read_table(path: Path) -> TextTable:
    """Read a .csv, .tsv (with a header line) or .jsonl file; UserError names the line that is wrong."""
    ending = path.suffix.lower()
    if ending in DELIMITERS:
        return _read_delimited(path, DELIMITERS[ending])
    if ending in (".jsonl", ".ndjson"):
        return _read_jsonl(path)
    raise UserError(f"{path}: .csv, .tsv and .jsonl are the formats read")


def delimited_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise UserError(f"{path}:{line}: {error}") from error


def _read_delimited(path: Path, delimiter: str) -> TextTable:
    rows = delimited_rows(path, delimiter)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if not header:
        raise UserError(f"{path}: is empty; expected a header line with column names")
    cells, lines = [], []
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}:{line}: has {len(row)} cells, the header has {len(header)} ({', '.join(header)})"
            )
        cells.append(row)
        lines.append(line)
    return TextTable(path, header, cells, lines)


def _read_jsonl(path: Path) -> TextTable:
    """Columns are the keys of the first line; each line must have them."""
    header: list[str] = []
    cells, lines = [], []
    for line, content in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not content.strip():
            continue
        record = _record(content, f"{path}:{line}")
        header = header or list(record)
        absent = [key for key in header if key not in record]
        if absent:
            raise UserError(f"{path}:{line}: has no {absent[0]!r}: {nearest(absent[0], record)}")
        cells.append([_cell(record[key]) for key in header])
        lines.append(line)
    if not header:
        raise UserError(f"{path}: is empty; expected one JSON object a line")
    return TextTable(path, header, cells, lines)


def _record(content: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(content.decode("utf-8-sig", "surrogateescape"))
    except json.JSONDecodeError as error:
        raise UserError(f"{place}: is no JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: expected a JSON object, found {type(record).__name__}")
    return record


def _cell(value: object) -> str:
    """Strings as they are, null as nothing, everything else as JSON writes it (true, 3)."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
