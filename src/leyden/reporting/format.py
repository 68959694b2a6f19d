"""Format values, intervals, counts and durations as text, in plain ASCII."""

from collections.abc import Iterable, Mapping
from typing import Any

UNKNOWN = "-"
_PREFIXES = ("", "k", "M", "G", "T", "P")


def number(value: float | None) -> str:
    """Format a number with four decimals, five significant digits from 10 on, scientific notation below 0.001.

    >>> number(0.91234), number(1234.5678), number(0.00001234), number(None)
    ('0.9123', '1234.6', '1.23e-05', '-')
    """
    if value is None:
        return UNKNOWN
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"


def interval(estimate: Mapping[str, Any]) -> str:
    """Format the interval of a stored Estimate as `[low, high]`; "" if it has none."""
    low, high = estimate.get("low"), estimate.get("high")
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def estimate(stored: Mapping[str, Any]) -> str:
    """Format the value and the interval of a stored Estimate as `value [low, high]`."""
    return f"{number(stored.get('value'))} {interval(stored)}".rstrip()


def unit_of(method: str) -> str:
    """What the method of an interval is over.

    >>> unit_of("jackknife over 4 speakers, Wilson at the edge")
    'over 4 speakers'
    """
    return method.partition(",")[0].removeprefix("jackknife ")


def normaliser_note(splits: Iterable[Mapping[str, Any]]) -> str:
    """How texts were normalised before they were compared, which every error rate depends on; "" where none are.

    splits: metrics as stored, of splits or of runs.
    """
    found = sorted({str(split["normaliser"]) for split in splits if split.get("normaliser")})
    return f"Error rates of texts normalised by task.target.normaliser={', '.join(found)}." if found else ""


def confused_words(pair: Mapping[str, Any]) -> str:
    """Format a stored pair of a transcript's words; "" is none.

    >>> [confused_words({"true": t, "predicted": p}) for t, p in (("two", "ten"), ("two", ""), ("", "oh"))]
    ["'two' as 'ten'", "'two' left out", "'oh' put in"]
    """
    true, predicted = pair["true"], pair["predicted"]
    if true and predicted:
        return f"{true!r} as {predicted!r}"
    return f"{true!r} left out" if true else f"{predicted!r} put in"


def count(value: float | None) -> str:
    """Format a number as an integer with thousands separators; "-" for None.

    >>> count(1234567.2)
    '1,234,567'
    """
    return UNKNOWN if value is None else f"{value:,.0f}"


def si_number(value: float | None, unit: str = "") -> str:
    """Format a value with three significant digits and an SI prefix; "-" for None.

    >>> si_number(137_725_184, "FLOP"), si_number(464_154, "B"), si_number(12, "B")
    ('138 MFLOP', '464 kB', '12 B')
    """
    if value is None:
        return UNKNOWN
    prefix = 0
    while abs(value) >= 999.5 and prefix < len(_PREFIXES) - 1:
        value, prefix = value / 1000, prefix + 1
    return f"{value:.3g} {_PREFIXES[prefix]}{unit}".rstrip()


def percent_of(part: float, whole: float) -> str:
    """One decimal, or one significant digit where that would read 0.0 %.

    >>> percent_of(1, 8), percent_of(3, 10_000), percent_of(0, 0)
    ('12.5 %', '0.03 %', '0.0 %')
    """
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1g} %" if 0 < share < 0.05 else f"{share:.1f} %"


def duration(seconds: float | None) -> str:
    """Format seconds with at most two units; "-" for None.

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
