"""The common layout of tables: no frame, a rule under the header, nothing cut.

Text is folded at the width of the terminal, but for columns with `no_wrap`: numbers, and what one copies (folders,
commands, names). Where those need more room the table is wider than the terminal.
"""

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text
from rich.tree import Tree

Heading = tuple[str, Literal["left", "right"]]  # header, alignment of its cells
_ENDLESS = 1_000_000  # characters
_NARROW = 8  # characters, to which a column may be narrowed


class WholeTable(Table):
    """A table whose columns with `no_wrap` are never narrower than their content; lines end without blanks."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Render at the width of the terminal, or the least at which nothing is cut."""
        endless = options.update(max_width=_ENDLESS)
        for column in self.columns:
            if column.no_wrap:
                cells = [column.header, *column.cells]
                column.min_width = max(Measurement.get(console, endless, cell).maximum for cell in cells)
        least = Measurement.get(console, endless, self).minimum - sum(map(_foldable, self.columns))
        wide = options.update(max_width=max(least, options.max_width))
        lines = Segment.split_lines(super().__rich_console__(console, wide))  # type: ignore[arg-type]
        for line in lines:
            while line and not line[-1].text.strip():
                line.pop()
            yield from line[:-1]
            yield from (Segment(last.text.rstrip(), last.style) for last in line[-1:])
            yield Segment.line()


def _foldable(column: Column) -> int:
    """Return by how much a column may be narrower than its longest word, which is folded then."""
    if column.no_wrap:
        return 0
    longest = max((cell_len(word) for cell in column.cells for word in str(cell).split()), default=0)
    return max(0, longest - max(_NARROW, column.min_width or 0))


class WholeTree(Tree):
    """A tree whose labels are neither folded nor cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Render at the width of the longest label."""
        endless = options.update(max_width=_ENDLESS)
        needed = Measurement.get(console, endless, self).maximum
        wide = options.update(max_width=max(needed, options.max_width))
        yield from super().__rich_console__(console, wide)  # type: ignore[misc]


def text(value: str, style: str = "") -> Text:
    """Return text without markup: a class named "[red]" is printed unchanged."""
    return Text(value, style=style)


@dataclass(frozen=True)
class Prose:
    """Text that is wrapped between words at the width of the terminal.

    A word is never broken, since it may be a path, nor a line with a command.
    """

    value: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Yield the lines."""
        for line in self.value.split("\n"):
            width = len(line) + 1 if "leyden " in line else options.max_width
            wrapped = textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
            yield from (text(part, self.style) for part in wrapped or [""])


def note(value: str) -> Prose:
    """Return a note to print under a table."""
    return Prose(f"{value}\n", "dim")


def plain_table(title: str, *columns: Heading) -> WholeTable:
    """Return an empty table with a title (or "") and columns of (header, alignment)."""
    table = WholeTable(
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


def facts(rows: Iterable[tuple[str, str | Text]]) -> WholeTable:
    """Format (name, value) rows as two columns, in which no value is broken; rows with an empty value are left out."""
    table = WholeTable(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in rows:
        if value:
            table.add_row(text(name), text(value) if isinstance(value, str) else value)
    return table
