"""Format lists and shares in messages: the first few of many names, percentages."""

from collections.abc import Sequence

MOST_LINES = 20  # files or lines that a message lists


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
