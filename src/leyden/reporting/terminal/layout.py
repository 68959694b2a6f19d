"""The common layout of tables: no frame, a rule under the header, long names folded, never truncated."""

from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

Column = tuple[str, Literal["left", "right"]]  # header, alignment of its cells


def text(value: str, style: str = "") -> Text:
    """Return text without markup: a class named "[red]" is printed unchanged. Long text is folded, not truncated."""
    return Text(value, style=style, overflow="fold")


def note(value: str) -> Text:
    """Return a note to print under a table."""
    return text(f"{value}\n", "dim")


def plain_table(title: str, *columns: Column) -> Table:
    """Return an empty table with a title (or "") and columns of (header, alignment)."""
    table = Table(
        title=text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
    )
    for header, side in columns:
        # right-aligned columns hold numbers, which must not wrap
        table.add_column(header, justify=side, overflow="fold", no_wrap=side == "right")
    return table
