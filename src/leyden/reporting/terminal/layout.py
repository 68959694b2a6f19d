"""The look that every table shares: no frame, a rule under the header, long names folded, never cut."""

from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

Column = tuple[str, Literal["left", "right"]]  # header, side on which its cells stand


def text(value: str, style: str = "") -> Text:
    """User's words as they are: a class called "[red]" is no markup. Long ones fold, none is cut."""
    return Text(value, style=style, overflow="fold")


def note(value: str) -> Text:
    """A remark under a table."""
    return text(f"{value}\n", "dim")


def plain_table(title: str, *columns: Column) -> Table:
    """An empty table with a title (or "") and columns of (header, justification)."""
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
        # numbers stand in the right columns and must not break; names may
        table.add_column(header, justify=side, overflow="fold", no_wrap=side == "right")
    return table
