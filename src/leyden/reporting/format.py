"""Numbers as words: one way to write a value, an interval, a count and a duration, in plain ASCII."""

from collections.abc import Mapping
from typing import Any

UNKNOWN = "-"
_PREFIXES = ("", "k", "M", "G", "T", "P")


def number(value: float | None) -> str:
    """Four decimals, or five significant digits from 10 on, or a power of ten when four decimals hide it.

    >>> number(0.91234), number(1234.5678), number(0.00001234), number(None)
    ('0.9123', '1234.6', '1.23e-05', '-')
    """
    if value is None:
        return UNKNOWN
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"


def interval(estimate: Mapping[str, Any]) -> str:
    """`[low, high]` of a stored Estimate, or nothing where it has no interval."""
    low, high = estimate.get("low"), estimate.get("high")
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def estimate(stored: Mapping[str, Any]) -> str:
    """Value and interval of a stored Estimate."""
    return f"{number(stored.get('value'))} {interval(stored)}".rstrip()


def count(value: float | None) -> str:
    """A whole number with commas.

    >>> count(1234567.2)
    '1,234,567'
    """
    return UNKNOWN if value is None else f"{value:,.0f}"


def scaled(value: float | None, unit: str = "") -> str:
    """Three digits and a prefix of thousands.

    >>> scaled(137_725_184, "FLOP"), scaled(464_154, "B"), scaled(12, "B")
    ('138 MFLOP', '464 kB', '12 B')
    """
    if value is None:
        return UNKNOWN
    place = 0
    while abs(value) >= 999.5 and place < len(_PREFIXES) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.3g} {_PREFIXES[place]}{unit}".rstrip()


def plural(n: int, noun: str, many: str | None = None) -> str:
    """`1 class`, `2 classes`: the count and the noun that fits it."""
    return f"{n:,} {noun if n == 1 else many or noun + 's'}"


def duration(seconds: float | None) -> str:
    """The two largest units.

    >>> duration(0.42), duration(59.96), duration(192), duration(7500)
    ('0.42 s', '1 min 00 s', '3 min 12 s', '2 h 05 min')
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"
