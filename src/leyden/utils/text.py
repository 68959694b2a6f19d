"""Format text for people: without control characters; the first few of many names; percentages."""

import re
from collections.abc import Sequence

MOST_LINES = 20  # files or lines that a message lists

# All control characters but tab and line feed: C0, DEL, C1, marks that turn the direction of text (Unicode TR 9), line
# separators. Without its first character (ESC or CSI) a terminal sequence is plain text.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no byte


def printable(text: str) -> str:
    r"""Return the text without control characters, so that a terminal shows it and obeys nothing in it.

    >>> printable("\x1b[31mred\x07 a\u202eb")
    '[31mred ab'
    """
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("", decoded(text))


def decoded(text: str) -> str:
    r"""Decode bytes that Python holds as surrogates: of a file's name where the system's encoding is not UTF-8.

    >>> decoded("acht-\udcc3\udcbc"), decoded("acht-\udcff")
    ('acht-ü', 'acht-�')
    """
    if not _SURROGATE.search(text):
        return text
    escaped = _NO_BYTE.sub("\ufffd", text)
    return escaped.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def printable_json(text: str) -> str:
    """Escape the control characters of a JSON text that JSON itself allows (C1, DEL, marks of direction)."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def and_more(names: Sequence[object], most: int, count: int | None = None) -> str:
    """Format the first names and the number of the others.

    Args:
        names: all of them, or at least as many as are shown.
        most: how many are shown.
        count: how many there are, where `names` are not all.

    >>> and_more(["a", "b", "c"], 2), and_more(["a", "b"], 2), and_more(["a"], 2, count=1500)
    ('a, b and 1 more', 'a, b', 'a and 1,499 more')
    """
    shown = [str(name) for name in names[:most]]
    more = (len(names) if count is None else count) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def plural(n: int, noun: str, many: str | None = None) -> str:
    """Format a count with its noun in singular or plural.

    >>> plural(1, "class", "classes"), plural(1200, "row")
    ('1 class', '1,200 rows')
    """
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def indented_lines(lines: Sequence[str]) -> str:
    """The first `MOST_LINES`, each indented on a line of its own, and how many more there are."""
    more = f"\n  ... and {len(lines) - MOST_LINES} more" if len(lines) > MOST_LINES else ""
    return "".join(f"\n  {line}" for line in lines[:MOST_LINES]) + more


def percent(share: float, digits: int = 3) -> str:
    """Format a share (0 .. 1) as a percentage with `digits` significant digits.

    >>> percent(0.1134), percent(0.0005), percent(0.0), percent(0.999, 2)
    ('11.3 %', '0.05 %', '0 %', '100 %')
    """
    text = f"{100 * share:.{digits}g}"
    return f"{100 * share:.0f} %" if "e+" in text else f"{text} %"
