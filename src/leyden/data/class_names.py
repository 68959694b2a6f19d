"""What names of classes say beside being names: numbers, and whether these are measurements."""

from collections.abc import Sequence

import numpy as np

from leyden.data.text_keys import normal_form

MANY = 20  # classes: fewer may be numbers
# What pandas reads as a missing value (pandas.read_csv, na_values), in small letters.
_MISSING = (
    *("nan", "-nan", "null", "none", "n/a", "na", "<na>", "#n/a", "#n/a n/a", "#na"),
    *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
)


def is_missing_value(name: str) -> bool:
    """Whether a name is what programs write for a missing value.

    >>> is_missing_value("NaN"), is_missing_value(" N/A "), is_missing_value("nano")
    (True, True, False)
    """
    return name.strip().lower() in _MISSING


def meaning(name: str) -> str | float:
    """Equal for names that differ in case, spaces, Unicode form or in how a number is written, alone.

    >>> meaning("1.0") == meaning("1"), meaning("Good ") == meaning("good"), meaning("007") == meaning("7")
    (True, True, False)
    """
    value = number(name)
    return normal_form(name) if np.isnan(value) else value


def number(name: str) -> float:
    """The number that a name is, with a point or a comma; NaN for others and for codes, which begin with zeros."""
    if name.lstrip("+-").startswith("0") and name.lstrip("+-0")[:1].isdigit():
        return np.nan
    try:
        value = float(name.replace(",", ".") if name.count(",") == 1 and "." not in name else name)
    except ValueError:
        return np.nan
    return value if np.isfinite(value) else np.nan


def are_measurements(names: Sequence[str]) -> bool:
    """Whether many names are all numbers, and not numbered in a row as classes are."""
    numbers = np.sort([number(name) for name in names])
    if len(names) <= MANY or np.isnan(numbers).any():
        return False
    return not np.array_equal(numbers, np.arange(len(numbers)) + np.floor(numbers[0]))


def measurements_advice(names: Sequence[str]) -> str:
    """What to say of names that are measurements."""
    point = ", once their decimals are written with a point" if any("," in name for name in names) else ""
    return f"measurements are predicted by task=regression{point}"
