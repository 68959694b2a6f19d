"""Everything the terminal shows as a table: a result, a configuration, a sweep, predictions, class counts.

Each function takes plain values and returns what rich prints; nothing here prints, reads a file or imports
torch. All of it stands in 80 columns and says the same without colour.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from leyden.reporting.format import count, duration, number, plural
from leyden.reporting.terminal.layout import Column, note, plain_table, text
from leyden.reporting.terminal.run_result import MOST_CLASSES, WORST, result_table

__all__ = ["answers_table", "config_tree", "counts_table", "jobs_table", "result_table"]

_STATES = {"complete": "green", "failed": "bold red", "running": "cyan", "interrupted": "yellow"}


def config_tree(config: Mapping[str, Any], title: str = "configuration") -> Tree:
    """A resolved configuration as a tree; a `_target_` stands beside the name of its branch."""
    tree = Tree(text(title, "bold"), guide_style="dim")
    _grow(tree, config)
    return tree


def _grow(tree: Tree, node: Mapping[str, Any]) -> None:
    for key, value in node.items():
        if key != "_target_":
            _add(tree, str(key), value)


def _add(tree: Tree, key: str, value: Any) -> None:
    nested = isinstance(value, Sequence) and any(isinstance(item, Mapping | list) for item in value)
    if isinstance(value, Mapping) and value:
        target = f" {value['_target_']}" if "_target_" in value else ""
        _grow(tree.add(Text.assemble((key, "bold"), (target, "dim"), overflow="fold")), value)
    elif nested and not isinstance(value, str):
        branch = tree.add(text(key, "bold"))
        for i, item in enumerate(value):
            _add(branch, str(i), item)
    else:
        tree.add(Text.assemble((f"{key}: ", ""), (_scalar(value), "cyan"), overflow="fold"))


def _scalar(value: Any) -> str:
    """As YAML would have it, where it is short to say so."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def jobs_table(
    rows: Sequence[Mapping[str, Any]], metric: str = "metric", *, higher: bool = True
) -> RenderableType:
    """Jobs of a sweep. Each row: state, overrides (list or text), metric (float or None), seconds, folder.

    metric: its name; higher: whether more of it is better. What all jobs share (overrides, the folder that
    holds theirs) is said once, below the table.
    """
    shared = _shared_overrides(rows)
    parent = _parent([str(row["folder"]) for row in rows if row.get("folder")])
    # one word of the metric's name a line: the column is as narrow as its numbers
    header = metric.rsplit("/", 1)[-1].replace("_", "\n")
    table = plain_table("", ("state", "left"), (header, "right"), ("time", "right"), ("folder", "left"))
    table.add_column("overrides", overflow="fold")
    for row in rows:
        state = str(row.get("state", ""))
        folder = os.path.relpath(row["folder"], parent) if row.get("folder") else ""
        own = "\n".join(word for word in _overrides(row) if word not in shared)
        numbers = (number(row.get("metric")), duration(row.get("seconds")))
        table.add_row(text(state, _STATES.get(state, "")), *numbers, text(folder), text(own or "-"))
    return Group(table, note("\n".join(_jobs_notes(rows, metric, higher, parent, shared))))


def _overrides(row: Mapping[str, Any]) -> list[str]:
    """One word for each: they may also come as the text that was typed."""
    given = row.get("overrides") or []
    return given.split() if isinstance(given, str) else list(given)


def _shared_overrides(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The overrides that every one of several jobs has."""
    if len(rows) < 2:
        return []
    return [word for word in _overrides(rows[0]) if all(word in _overrides(row) for row in rows)]


def _parent(folders: Sequence[str]) -> str:
    """The folder that holds all of them."""
    return os.path.commonpath([Path(folder).parent for folder in folders]) if folders else ""


def _jobs_notes(
    rows: Sequence[Mapping[str, Any]], metric: str, higher: bool, parent: str, shared: Sequence[str]
) -> Iterator[str]:
    states = Counter(str(row.get("state", "")) for row in rows)
    yield f"{plural(len(rows), 'job')}: " + ", ".join(f"{n} {state}" for state, n in states.items())
    scored = [row for row in rows if row.get("metric") is not None and math.isfinite(row["metric"])]
    if scored:
        best = (max if higher else min)(scored, key=lambda row: row["metric"])
        own = " ".join(word for word in _overrides(best) if word not in shared)
        yield f"best {metric} {number(best['metric'])}: {own or '(no overrides)'}"
    if shared:
        yield f"all have {' '.join(shared)}"
    if parent:
        yield f"folders are under {parent}"


def answers_table(rows: Sequence[tuple[str, Mapping[str, str | float]]]) -> RenderableType:
    """A row for each input: its name, and the cells of its prediction."""
    names = list(rows[0][1]) if rows else []
    first = [cell for _, cells in rows[:1] for cell in cells.values()]
    columns: list[Column] = [
        (name, "right" if isinstance(cell, float) else "left")
        for name, cell in zip(names, first, strict=True)
    ]
    table = plain_table("", ("input", "left"), *columns)
    for name, cells in rows:
        values = (cells.get(column) for column in names)
        table.add_row(text(name), *(number(v) if isinstance(v, float) else text(str(v)) for v in values))
    return Group(table, note(plural(len(rows), "prediction")))


def counts_table(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> RenderableType:
    """Samples per class (rows) and split (columns, in the order given), shares within the first split.

    Below stand that split's imbalance ratio, n_max / n_min, and its effective number of classes, the
    exponential of the entropy of its class shares: as many as there are when all are equally frequent.
    """
    first = next(iter(counts))
    table = plain_table("", ("class", "left"), (first, "right"), ("share", "right"))
    for split in list(counts)[1:]:
        table.add_column(split, justify="right", no_wrap=True)
    total = sum(counts[first])

    def row(name: Text, numbers: Sequence[int]) -> None:
        table.add_row(name, count(numbers[0]), _percent(numbers[0], total), *map(count, numbers[1:]))

    order = _frequent_and_rare(counts[first])
    for place, c in enumerate(order):
        row(text(str(class_names[c])), [of_split[c] for of_split in counts.values()])
        if len(order) < len(class_names) and place == WORST - 1:
            table.add_row(text(f"... {count(len(class_names) - len(order))} classes between ...", "dim"))
    table.add_section()
    row(text("all", "bold"), [sum(of_split) for of_split in counts.values()])
    return Group(table, note(_imbalance(first, counts[first], class_names)))


def _percent(part: int, whole: int) -> str:
    """One decimal, or one significant digit where that would read 0.0 %."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.1g} %" if 0 < share < 0.05 else f"{share:.1f} %"


def _frequent_and_rare(counts: Sequence[int]) -> list[int]:
    """Classes in their order, or for very many the most frequent ten and the rarest ten."""
    if len(counts) <= MOST_CLASSES:
        return list(range(len(counts)))
    falling = sorted(range(len(counts)), key=lambda c: -counts[c])
    return falling[:WORST] + falling[-WORST:]


def _imbalance(split: str, counts: Sequence[int], class_names: Sequence[str]) -> str:
    filled = [n for n in counts if n]
    if not filled:
        return f"{split} has no samples"
    total = sum(filled)
    effective = math.exp(-sum(n / total * math.log(n / total) for n in filled))
    low, high = min(filled), max(filled)
    rarest, largest = (class_names[list(counts).index(n)] for n in (low, high))
    said = [
        f"imbalance ratio in {split}: {high / low:,.1f} ({largest} {count(high)}, {rarest} {count(low)})",
        f"effective number of classes: {effective:.2f} of {count(len(counts))}",
    ]
    empty = len(counts) - len(filled)
    if empty:
        said.append(f"{plural(empty, 'class', 'classes')} without a sample in {split}, left out of the ratio")
    return "\n".join(said)
