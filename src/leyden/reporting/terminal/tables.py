"""Tables for the terminal: a result, a configuration, a sweep, predictions, class counts.

Each function takes plain values and returns a rich renderable; nothing here prints, reads a file or imports
torch. All tables fit into 80 columns and carry the same information without colour.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from leyden.reporting.format import count, duration, number, percent_of
from leyden.reporting.terminal.layout import Heading, WholeTree, note, plain_table, text
from leyden.reporting.terminal.run_result import MOST_CLASSES, WORST
from leyden.utils.text import plural

_STATES = {"complete": "green", "failed": "bold red", "running": "cyan", "interrupted": "yellow"}


def config_tree(config: Mapping[str, Any], title: str = "configuration") -> Tree:
    """Format a resolved configuration as a tree; a `_target_` is printed after the name of its branch."""
    tree = WholeTree(text(title, "bold"), guide_style="dim")
    _add_all(tree, config)
    return tree


def _add_all(tree: Tree, node: Mapping[str, Any]) -> None:
    for key, value in node.items():
        if key != "_target_":
            _add(tree, str(key), value)


def _add(tree: Tree, key: str, value: Any) -> None:
    nested = isinstance(value, Sequence) and any(isinstance(item, Mapping | list) for item in value)
    if isinstance(value, Mapping) and value:
        target = f" {value['_target_']}" if "_target_" in value else ""
        _add_all(tree.add(Text.assemble((key, "bold"), (target, "dim"), overflow="fold")), value)
    elif nested and not isinstance(value, str):
        branch = tree.add(text(key, "bold"))
        for i, item in enumerate(value):
            _add(branch, str(i), item)
    else:
        tree.add(Text.assemble((f"{key}: ", ""), (_scalar(value), "cyan")))


def _scalar(value: Any) -> str:
    """Format a scalar as in YAML."""
    literals = {None: "null", True: "true", False: "false"}
    return literals[value] if value is None or isinstance(value, bool) else str(value)


def jobs_table(
    rows: Sequence[Mapping[str, Any]], metric: str = "metric", *, higher: bool = True
) -> RenderableType:
    """Format the jobs of a sweep. Each row: state, overrides (list or text), metric (float or None), seconds, folder.

    metric: its name; higher: whether higher is better. Overrides and the parent folder that all jobs share are
    printed once, below the table.
    """
    shared = _shared_overrides(rows)
    parent = _parent([str(row["folder"]) for row in rows if row.get("folder")])
    # the metric's name is broken into lines, so that the column is as narrow as its numbers
    header = metric.rsplit("/", 1)[-1].replace("_", "_\n")
    table = plain_table("", ("state", "left"), (header, "right"), ("time", "right"))
    for copied in ("folder", "overrides"):
        table.add_column(copied, no_wrap=True)
    for row in rows:
        state = str(row.get("state", ""))
        folder = os.path.relpath(row["folder"], parent) if row.get("folder") else ""
        own = "\n".join(override for override in _overrides(row) if override not in shared)
        numbers = (number(row.get("metric")), duration(row.get("seconds")))
        table.add_row(text(state, _STATES.get(state, "")), *numbers, text(folder), text(own or "-"))
    return Group(table, text("\n".join([*_jobs_notes(rows, metric, higher, parent, shared), ""]), "dim"))


def _overrides(row: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a row as a list; they may be given as one text."""
    given = row.get("overrides") or []
    return given.split() if isinstance(given, str) else list(given)


def _shared_overrides(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the overrides that all of several jobs have in common."""
    if len(rows) < 2:
        return []
    return [override for override in _overrides(rows[0]) if all(override in _overrides(row) for row in rows)]


def _parent(folders: Sequence[str]) -> str:
    """Return the common parent folder."""
    return os.path.commonpath([Path(folder).parent for folder in folders]) if folders else ""


def _jobs_notes(
    rows: Sequence[Mapping[str, Any]], metric: str, higher: bool, parent: str, shared: Sequence[str]
) -> Iterator[str]:
    states = Counter(str(row.get("state", "")) for row in rows)
    yield f"{plural(len(rows), 'job')}: " + ", ".join(f"{n} {state}" for state, n in states.items())
    scored = [row for row in rows if row.get("metric") is not None and math.isfinite(row["metric"])]
    if scored:
        best = (max if higher else min)(scored, key=lambda row: row["metric"])
        own = " ".join(override for override in _overrides(best) if override not in shared)
        yield f"best {metric} {number(best['metric'])}: {own or '(no overrides)'}"
    if shared:
        yield f"common to all: {' '.join(shared)}"
    if parent:
        yield f"folders are under {parent}"


def answers_table(rows: Sequence[tuple[str, Mapping[str, str | float]]]) -> RenderableType:
    """A row for each input: its name, and the cells of its prediction."""
    names = list(rows[0][1]) if rows else []
    first = [cell for _, cells in rows[:1] for cell in cells.values()]
    columns: list[Heading] = [
        (name, "right" if isinstance(cell, float) else "left")
        for name, cell in zip(names, first, strict=True)
    ]
    table = plain_table("", ("input", "left"), *columns)
    words = [
        word for name, _ in rows for word in name.split()
    ]  # a text is folded between words, a path is not
    table.columns[0].min_width = max(map(cell_len, words), default=0)
    for name, cells in rows:
        values = (cells.get(column) for column in names)
        table.add_row(text(name), *(number(v) if isinstance(v, float) else text(str(v)) for v in values))
    return Group(table, note(plural(len(rows), "prediction")))


def counts_table(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> RenderableType:
    """Format samples per class (rows) and split (columns, in the order given), with shares of the first split.

    Below the table: the first split's imbalance ratio, n_max / n_min, and its effective number of classes, the
    exponential of the entropy of its class shares, which equals the number of classes if all are equally frequent.
    """
    first = next(iter(counts))
    table = _counts("class", "classes", counts, {split: sum(n) for split, n in counts.items()}, class_names)
    return Group(table, note(_imbalance(first, counts[first], class_names)))


def label_counts_table(
    counts: Mapping[str, Sequence[int]], samples: Mapping[str, int], label_names: Sequence[str]
) -> RenderableType:
    """Format samples that have each label (rows) by split, with shares of the first split's samples.

    counts: split -> (L,); samples: of each split. Below the table: labels per sample of the first split.
    """
    first = next(iter(counts))
    mean = sum(counts[first]) / max(samples[first], 1)
    table = _counts("label", "labels", counts, samples, label_names)
    return Group(table, note(f"{first}: {mean:.2f} labels per sample on average"))


def values_table(targets: Mapping[str, NDArray[Any]], names: Sequence[str]) -> RenderableType:
    """Format mean, standard deviation, minimum and maximum of each target by split. targets: split -> (N, K)."""
    table = plain_table("", ("target", "left"), ("split", "left"), ("n", "right"))
    for name in ("mean", "sd", "min", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for column, name in enumerate(names):
        for split, values in targets.items():
            of_split = values[:, column]
            found = (of_split.mean(), of_split.std(), of_split.min(), of_split.max()) if len(of_split) else ()
            table.add_row(text(name), split, count(len(of_split)), *(number(float(value)) for value in found))
    return table


def _counts(
    kind: str,
    plural_kind: str,
    counts: Mapping[str, Sequence[int]],
    totals: Mapping[str, int],
    names: Sequence[str],
) -> Table:
    """Rows of classes or labels, columns of splits; totals: samples of each split."""
    first = next(iter(counts))
    table = plain_table("", (kind, "left"), (first, "right"), ("share", "right"))
    for split in list(counts)[1:]:
        table.add_column(split, justify="right", no_wrap=True)

    def row(name: Text, numbers: Sequence[int]) -> None:
        table.add_row(
            name, count(numbers[0]), percent_of(numbers[0], totals[first]), *map(count, numbers[1:])
        )

    order = _frequent_and_rare(counts[first])
    for place, c in enumerate(order):
        row(text(str(names[c])), [of_split[c] for of_split in counts.values()])
        if len(order) < len(names) and place == WORST - 1:
            table.add_row(text(f"... {count(len(names) - len(order))} more {plural_kind} ...", "dim"))
    table.add_section()
    row(text("all", "bold"), list(totals.values()))
    return table


def _frequent_and_rare(counts: Sequence[int]) -> list[int]:
    """Return all classes in order, or if there are very many the ten most frequent and the ten rarest."""
    if len(counts) <= MOST_CLASSES:
        return list(range(len(counts)))
    descending = sorted(range(len(counts)), key=lambda c: -counts[c])
    return descending[:WORST] + descending[-WORST:]


def _imbalance(split: str, counts: Sequence[int], class_names: Sequence[str]) -> str:
    filled = [n for n in counts if n]
    if not filled:
        return f"{split} has no samples"
    total = sum(filled)
    effective = math.exp(-sum(n / total * math.log(n / total) for n in filled))
    low, high = min(filled), max(filled)
    rarest, largest = (class_names[list(counts).index(n)] for n in (low, high))
    ends = f"{largest} {count(high)}, {rarest} {count(low)}" if low < high else f"{count(low)} of each class"
    notes = [
        f"imbalance ratio in {split}: {high / low:,.1f} ({ends})",
        f"effective number of classes: {effective:.2f} of {count(len(counts))}",
    ]
    empty = len(counts) - len(filled)
    if empty:
        notes.append(
            f"{plural(empty, 'class', 'classes')} without samples in {split}, excluded from the ratio"
        )
    return "\n".join(notes)
