"""Tables whose rows are predicted: read by the column, delimiter and encoding of the run's own source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leyden.data.sources.file_lists import listed_files
from leyden.data.sources.tables import TableFormat, TextTable, is_table, read_table
from leyden.data.text_files import composed
from leyden.utils.errors import UserError, nearest


def table_texts(file: str, source: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(file:line, text) of each row of a table.

    Args:
        file: as typed.
        source: configuration of the run's source.

    Raises:
        UserError: no table that can be read, or it lacks the run's text column.
    """
    column = source.get("text_column", "text")
    table = _read(file, column, source, "give the texts alone, one a line, in a .txt file")
    return list(zip(table.places(), table.column(column, "predict", empty=True), strict=True))


def table_paths(file: str, source: Mapping[str, Any]) -> list[str]:
    """The files that a table lists, relative to its folder; the file itself, which is no table by its ending.

    Args:
        file: as typed.
        source: configuration of the run's source.

    Raises:
        UserError: as `table_texts`, or files that are not there.
    """
    if not is_table(Path(file)):
        return [file]
    column, folder = source.get("path_column", "path"), Path(file).parent
    table = _read(file, column, source, "name the files themselves")
    return [str(folder / name) for name in listed_files(table, folder, column, "predict")]


def _read(file: str, column: str, source: Mapping[str, Any], otherwise: str) -> TextTable:
    table = read_table(Path(file), TableFormat(source.get("delimiter"), source.get("encoding")))
    if composed(column) not in table.header:
        raise UserError(
            f"{file}: has no column {column!r}, which this run reads: {nearest(column, table.header)}. "
            f"Name it so in the header, or {otherwise}"
        )
    return table
