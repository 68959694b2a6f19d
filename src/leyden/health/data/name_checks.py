"""Checks of the names of classes and labels: some that look like one, missing values, a column of measurements."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from leyden.data.class_names import are_measurements, is_missing_value, meaning, measurements_advice
from leyden.health.data.common import examples
from leyden.health.findings import Finding
from leyden.utils.text import plural

FEW = 5.0  # samples of a class, on average: more are no measurements


def names(classes: Sequence[str], counts: Sequence[int]) -> Iterator[Finding]:
    """The findings on the names of classes.

    Args:
        classes: names (C,).
        counts: samples of each (C,).
    """
    yield from alike(classes, "class", "classes")
    yield from _missing_values(classes, counts)
    yield from _measurements(classes, counts)


def alike(classes: Sequence[str], *noun: str) -> Iterator[Finding]:
    """Names that differ in case, spaces, Unicode form or in how a number is written, alone; noun: one, several."""
    groups = defaultdict(list)
    for name in classes:
        groups[meaning(name)].append(name)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return
    listed = [" and ".join(map(repr, group)) for group in several]
    named = f"{plural(len(several), *noun)} {'is' if len(several) == 1 else 'are'}"
    message = (
        f"{named} written in more than one way ({examples(listed, len(listed))}): each is one of its own. "
        "If they are the same, write them alike in the data."
    )
    yield Finding("alike_names", "warning", message, "", (), {noun[-1]: listed})


def _missing_values(classes: Sequence[str], counts: Sequence[int]) -> Iterator[Finding]:
    found = {name: n for name, n in zip(classes, counts, strict=True) if is_missing_value(name)}
    if not found:
        return
    listed = [f"{name!r} ({plural(n, 'sample')})" for name, n in found.items()]
    leave_out = "task.target.na_is_empty=true data.on_bad=skip"
    message = (
        f"Names of classes that programs write for a missing value: {examples(listed, len(listed))}. If these rows "
        f"have no label, {leave_out} leaves them out; if it is meant as a class, nothing needs to be done."
    )
    yield Finding("missing_value_as_class", "warning", message, "", (leave_out,), {"classes": list(found)})


def _measurements(classes: Sequence[str], counts: Sequence[int]) -> Iterator[Finding]:
    if sum(counts) >= FEW * len(classes) or not are_measurements(classes):
        return
    message = (
        f"The {len(classes):,} classes are numbers ({examples(classes, len(classes))}) with "
        f"{sum(counts) / len(classes):.1f} samples each: {measurements_advice(classes)}."
    )
    yield Finding("numeric_classes", "warning", message, "", ("task=regression",), {"classes": len(classes)})
