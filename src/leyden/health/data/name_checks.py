"""Checks of the names of classes and labels: some that look like one, and a column of measurements."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from leyden.data.text_keys import normal_form
from leyden.health.data.common import examples
from leyden.health.findings import Finding

MANY = 20  # classes: fewer may be numbers
FEW = 5.0  # samples of a class, on average: more are no measurements


def names(classes: Sequence[str], counts: Sequence[int]) -> Iterator[Finding]:
    """The findings on the names of classes.

    Args:
        classes: names (C,).
        counts: samples of each (C,).
    """
    yield from alike(classes, "classes")
    yield from _measurements(classes, counts)


def alike(classes: Sequence[str], noun: str) -> Iterator[Finding]:
    """Names that differ in case, spaces, Unicode form or in how a number is written, alone."""
    groups = defaultdict(list)
    for name in classes:
        groups[_meaning(name)].append(name)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return
    listed = [" and ".join(map(repr, group)) for group in several]
    message = (
        f"{len(several)} {noun} are written in more than one way ({examples(listed, len(listed))}): each is one of "
        "its own. If they are the same, write them alike in the data."
    )
    yield Finding("alike_names", "warning", message, "", (), {noun: listed})


def _meaning(name: str) -> str | float:
    number = _number(name)
    return normal_form(name) if np.isnan(number) else number


def _number(name: str) -> float:
    """The number that a name is, NaN for other names and for those with leading zeros, which are codes."""
    if name.lstrip("+-").startswith("0") and name.lstrip("+-0")[:1].isdigit():
        return np.nan
    try:
        number = float(name)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def _measurements(classes: Sequence[str], counts: Sequence[int]) -> Iterator[Finding]:
    numbers = np.array([_number(name) for name in classes])
    if len(classes) <= MANY or np.isnan(numbers).any() or sum(counts) >= FEW * len(classes):
        return
    if np.array_equal(np.sort(numbers), np.arange(len(numbers)) + numbers.min()):
        return  # numbered classes
    message = (
        f"The {len(classes):,} classes are numbers, from {numbers.min():g} to {numbers.max():g}, with "
        f"{sum(counts) / len(classes):.1f} samples each: measurements are predicted by task=regression."
    )
    yield Finding("numeric_classes", "warning", message, "", ("task=regression",), {"classes": len(classes)})
