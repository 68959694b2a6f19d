"""CSV that a spreadsheet shows and does not run: for exports that a person opens."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from leyden.utils.text import printable

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are full-width


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows, a header first, as CSV with a line feed after each; None is an empty cell."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet takes for a formula (OWASP, CSV injection); numbers are kept.

    >>> _cell("=HYPERLINK(1)"), _cell("-3.5"), _cell(-3.5), _cell("-x")
    ("'=HYPERLINK(1)", '-3.5', -3.5, "'-x")
    """
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return printable(f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text.strip() == text
