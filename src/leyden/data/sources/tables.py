"""Tables of text: CSV, TSV and JSONL files as named columns of strings, each row with its line for messages.

Bytes that are no UTF-8 are kept as surrogates, so that only the rows that hold them are bad.
"""

import contextlib
import csv
import io
import itertools
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leyden.data.index import split_code
from leyden.data.text_files import composed, decoded, found_encoding, lines, verify_encoding
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import plural

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}  # where the file does not say otherwise
_JSONL = (".jsonl", ".ndjson")
_OTHERS = ",;\t|"
_WORDS = {"tab": "\t", "\\t": "\t"}  # as a shell lets one type it
# How packed files begin.
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_LOOKED_AT = 200  # rows, to find the delimiter
# What writes a table of another format as one that is read, by its ending.
_IN_PYTHON = {
    ".json": "import json; open({to!r}, 'w').writelines(json.dumps(row) + '\\n' for row in json.load(open({path!r})))",
    ".parquet": "import pandas; pandas.read_parquet({path!r}).to_json({to!r}, orient='records', lines=True)",
}
_SHEETS = (".xlsx", ".xls", ".ods")


@dataclass(frozen=True)
class TableFormat:
    """How a table's file is written; what is None is found.

    Args:
        delimiter: one character between cells, or "tab".
        encoding: by its name in Python: utf-8, utf-16, cp1252, ...

    Raises:
        UserError: no single character, or no encoding.
    """

    delimiter: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.delimiter is not None and len(_WORDS.get(self.delimiter, self.delimiter)) != 1:
            raise UserError(
                f"data.source.delimiter={self.delimiter!r}: expected one character, such as ';', or tab"
            )
        if self.encoding is not None:
            verify_encoding(self.encoding)

    def settings(self) -> dict[str, str]:
        """What was given, for the fingerprint of a source."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class TextTable:
    """Rows of strings with named columns.

    Args:
        path: of the file.
        header: names of the columns.
        rows: cells of each row.
        lines: in the file where each row begins.
        notes: what was found of the file's format, where it is not the usual one.
        nested: row of the first cell that holds a list or an object, by column.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    notes: tuple[str, ...] = ()
    nested: Mapping[str, int] = field(default_factory=dict)

    def place(self, row: int) -> str:
        """file:line of a row."""
        return f"{self.path.name}:{self.lines[row]}"

    def places(self) -> list[str]:
        """file:line of every row."""
        return [f"{self.path.name}:{line}" for line in self.lines]

    def column(self, name: str, field: str, empty: bool = False) -> list[str]:
        """The column of a name.

        Raises:
            UserError: none or two of it, a cell that is a list or an object or, unless `empty`, empty or not UTF-8.
        """
        wanted = composed(name)
        if wanted not in self.header:
            raise UserError(
                f"{field}: {self.path} has no column {name!r}: {nearest(name, self.header)}{self._advice()}"
            )
        if self.header.count(wanted) > 1:
            places = [str(place + 1) for place, column in enumerate(self.header) if column == wanted]
            raise UserError(
                f"{field}: {self.path} has {len(places)} columns {name!r} ({', '.join(places)}): rename one"
            )
        if wanted in self.nested:
            row = self.nested[wanted]
            raise UserError(
                f"{self.path}:{self.lines[row]}: column {name!r} holds a list or an object, expected a text or a "
                "number: write what is meant under a key of its own"
            )
        place = self.header.index(wanted)
        values = [row[place] for row in self.rows]
        if not empty:
            values = [value.strip() for value in values]
            for row, value in enumerate(values):
                if not value:
                    raise UserError(f"{self.path}:{self.lines[row]}: column {name!r} is empty")
            self._verify_utf8(name, values)
        return values

    def _advice(self) -> str:
        if len(self.header) > 1:
            return ""
        return "; if another character separates the cells, name it: data.source.delimiter=';'"

    def _verify_utf8(self, name: str, values: Sequence[str]) -> None:
        for row, value in enumerate(values):
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise UserError(
                    f"{self.path}:{self.lines[row]}: column {name!r} is not UTF-8: save the file as UTF-8, or name its "
                    "encoding: data.source.encoding=cp1252"
                )

    def others(self, used: Iterable[str | None]) -> dict[str, list[str]]:
        """The cells of the columns that are not used: those with a name of their own, without lists and objects."""
        taken = {composed(name) for name in used if name is not None} | self.nested.keys() | {""}
        return {
            name: [row[place] for row in self.rows]
            for place, name in enumerate(self.header)
            if name not in taken and self.header.count(name) == 1
        }

    def labels(self, names: str | Sequence[str]) -> dict[str, list[str]]:
        """The label columns by name; cells may be empty, which the reader of the targets judges.

        Raises:
            UserError: a column that is not there, or a cell that is not UTF-8.
        """
        found = {}
        for name in [names] if isinstance(names, str) else names:
            cells = [cell.strip() for cell in self.column(name, "data.source.label_column", empty=True)]
            self._verify_utf8(name, cells)
            found[name] = cells
        return found

    def split(self, name: str | None) -> np.ndarray | None:
        """int8 (N,) of a column of split names; None where there is no such column asked for."""
        if name is None:
            return None
        values = self.column(name, "data.source.split_column")
        codes = (split_code(v, f"{self.path}:{line}") for v, line in zip(values, self.lines, strict=True))
        return np.fromiter(codes, dtype=np.int8, count=len(values))


def read_table(path: Path, given: TableFormat | None = None) -> TextTable:
    """Read a delimited file (with a header line) or a .jsonl file; UserError names the line that is wrong."""
    given = given or TableFormat()
    ending = path.suffix.lower()
    if ending not in (*DELIMITERS, *_JSONL):
        raise UserError(f"{path}: .csv, .tsv and .jsonl are the formats read{_how_to_convert(path)}")
    content = path.read_bytes()
    if content.startswith(_PACKED):
        raise UserError(f"{path}: is packed (gzip, zip, xz or zstd), not a text file: unpack it first")
    text = decoded(content, str(path), given.encoding)
    used = given.encoding or found_encoding(content)
    notes = [] if used == "utf-8" else [f"{path.name}: read as {used}"]
    if ending not in DELIMITERS:
        return _read_jsonl(path, text, tuple(notes))
    text, first_line, delimiter = _delimiter(text, DELIMITERS[ending], given.delimiter)
    if delimiter != DELIMITERS[ending]:
        notes.append(f"{path.name}: cells are separated by {delimiter!r}")
    return _read_delimited(path, text, first_line, delimiter, tuple(notes))


def is_table(path: Path) -> bool:
    """Whether a file's ending says that it is a table, read or to be converted; a .txt may as well hold lines."""
    return path.suffix.lower() in {*DELIMITERS, *_JSONL, *_IN_PYTHON, *_SHEETS} - {".txt"}


def _how_to_convert(path: Path) -> str:
    ending = path.suffix.lower()
    if ending in _SHEETS:
        return "; save it as CSV (UTF-8) in a spreadsheet program"
    if ending not in _IN_PYTHON:
        return ""
    code = _IN_PYTHON[ending].format(path=str(path), to=str(path.with_suffix(".jsonl")))
    needs = " (needs pandas and pyarrow)" if "pandas" in code else ""
    return f"; to convert it{needs}: {shlex.join(['python', '-c', code])}"


def _delimiter(text: str, usual: str, given: str | None) -> tuple[str, int, str]:
    """(the table, the line it begins at, what separates its cells).

    Given, in a first line `sep=;` (as spreadsheets write it), or the first, the usual one before others, that makes
    several cells of each row, as many as of the header; else the one that makes most of the header.
    """
    first, _, rest = text.partition("\n")
    announced = first.strip()
    if announced.lower().startswith("sep=") and len(announced) == 5:
        return rest, 2, given or announced[4]
    if given is not None:
        return text, 1, _WORDS.get(given, given)
    candidates = dict.fromkeys(usual + _OTHERS)
    widths = {candidate: _widths(text, candidate) for candidate in candidates}
    even = [c for c, found in widths.items() if len(set(found)) == 1 and found[0] > 1]
    if even or not any(widths.values()):
        return text, 1, even[0] if even else usual
    several = widths[usual][:1] > [1]
    return text, 1, usual if several else max(candidates, key=lambda c: widths[c][:1])


def _widths(text: str, delimiter: str) -> list[int]:
    """How many cells the first rows have."""
    found: list[int] = []
    with contextlib.suppress(UserError):
        found.extend(len(cells) for _, cells in itertools.islice(_rows("", text, delimiter), _LOOKED_AT))
    return found


def delimited_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank of a file in UTF-8, with commas and without a header."""
    yield from _rows(str(path), decoded(path.read_bytes(), str(path), "utf-8"), ",")


def _rows(where: str, text: str, delimiter: str, first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    taken: list[str] = []  # the lines of a row

    def source() -> Iterator[str]:
        for content in io.StringIO(text, newline=""):
            taken.append(content)
            yield content

    line = first_line
    try:
        for cells in csv.reader(source(), delimiter=delimiter):
            if len(taken) > 1:
                _verify_quotes(f"{where}:{line}", taken, delimiter)
            if cells:
                yield line, cells
            line += len(taken)
            taken.clear()
    except csv.Error as error:
        raise UserError(f"{where}:{line}: {error}") from error


def _verify_quotes(place: str, taken: Sequence[str], delimiter: str) -> None:
    """Refuse a row of several lines whose quotation marks do not pair: they have swallowed other rows."""
    try:
        list(csv.reader(taken, delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UserError(
            f"{place}: a quotation mark that opens a cell here is not closed in its row, which would go on for "
            f'{len(taken):,} lines: close it, or write "" for a mark that belongs to the text'
        ) from error


def _read_delimited(
    path: Path, text: str, first_line: int, delimiter: str, notes: tuple[str, ...]
) -> TextTable:
    rows = _rows(str(path), text, delimiter, first_line)
    header = [composed(name.strip()) for name in next(rows, (1, []))[1]]
    if not header:
        raise UserError(f"{path}: is empty; expected a header line with column names")
    cells, at, long = [], [], []
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}:{line}: has {len(row)} cells, the header has {len(header)} ({', '.join(header)}); cells are "
                f"separated by {delimiter!r}, another character is named by data.source.delimiter"
            )
        cells.append(row)
        at.append(line)
        if any("\n" in cell for cell in row):
            long.append(line)
    if long:
        notes += (
            f"{path.name}: {plural(len(long), 'row')} over several lines, in quotation marks (first: line {long[0]})",
        )
    return TextTable(path, header, cells, at, notes)


def _read_jsonl(path: Path, text: str, notes: tuple[str, ...]) -> TextTable:
    """Columns are the keys of all lines; a line that lacks one has an empty cell there."""
    records, at = [], []
    for line, content in enumerate(lines(text), start=1):
        if content.strip():
            records.append(_record(content, f"{path}:{line}"))
            at.append(line)
    if not records:
        raise UserError(f"{path}: is empty; expected one JSON object a line")
    header = list(dict.fromkeys(key for record in records for key in record))
    cells = [[_cell(record.get(key)) for key in header] for record in records]
    nested: dict[str, int] = {}
    for row, record in enumerate(records):
        for key in (key for key, value in record.items() if isinstance(value, dict | list)):
            nested.setdefault(key, row)
    return TextTable(path, header, cells, at, notes, nested)


def _record(content: str, place: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = {composed(key): value for key, value in pairs}
        if len(found) < len(pairs):
            raise UserError(f"{place}: has a key twice ({', '.join(key for key, _ in pairs)}); leave one out")
        return found

    try:
        record = json.loads(content, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place}: is no JSON: {error.msg} at column {error.colno}; expected one object a line"
        ) from error
    except RecursionError as error:
        raise UserError(f"{place}: is nested too deeply") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: expected a JSON object, found {type(record).__name__}")
    return record


def _cell(value: object) -> str:
    """Strings as they are; null, NaN and what is absent as nothing; everything else as JSON writes it (true, 3)."""
    if isinstance(value, str):
        return value
    return "" if value is None or value != value else json.dumps(value)  # NaN
