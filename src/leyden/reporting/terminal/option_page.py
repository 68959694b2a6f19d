"""The arguments of an option as a table: name, what it takes, its default, what it is for."""

from collections.abc import Sequence

from rich.table import Table

from leyden.config.reference import Argument
from leyden.reporting.terminal.layout import plain_table, text


def columns_of(arguments: Sequence[Argument]) -> dict[str, list[str]]:
    """Header -> cells of all rows; a column without a word in it is left out."""
    rows = [(a.name, a.type, a.default, a.meaning) for a in arguments]
    headers = ("argument", "type", "default", "meaning")
    columns = {header: [row[i] for row in rows] for i, header in enumerate(headers)}
    return {header: cells for header, cells in columns.items() if any(cells)}


def arguments_table(arguments: Sequence[Argument]) -> Table:
    """For the terminal: names are never broken, since one types them."""
    columns = columns_of(arguments)
    table = plain_table("", *((header, "left") for header in columns))
    table.columns[0].no_wrap = True
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(text, row))
    return table
