"""`leyden runs`: many runs as one table, or as plain values for a script.

rows = [Row.of(record, now) for record in records]
run_list(sorted_by(rows, "metric"), root)
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType

from leyden.reporting.format import UNKNOWN, duration, number, plural
from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.runs.query import version_changes
from leyden.runs.records import Record

Order = Literal["metric", "age", "cost"]
STYLES = {
    **{"complete": "green", "failed": "bold red", "damaged": "bold red"},
    **{"running": "cyan", "interrupted": "yellow", "stale": "yellow"},
}
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # of an age, in seconds


@dataclass(frozen=True)
class Row:
    """One line of the list. started: seconds since 1970; age, and seconds of training: in seconds."""

    folder: str
    experiment: str
    state: str
    stale: list[str]
    problem: str
    started: float | None
    age: float | None
    monitor: str
    value: float | None
    higher_is_better: bool
    test: float | None
    seconds: float | None
    parameters: int | None
    config: dict[str, Any]

    @classmethod
    def of(cls, record: Record, now: float) -> "Row":
        """Create the row of a record; `now` in seconds since 1970."""
        best, started = record.best, record.started
        monitor = str(best.get("monitor") or record.config.get("monitor") or "")
        return cls(
            folder=str(record.folder),
            experiment=record.experiment,
            state=record.state,
            stale=version_changes(record),
            problem=record.problem,
            started=started,
            age=None if started is None else now - started,
            monitor=monitor,
            value=best.get("value"),
            higher_is_better=bool(best.get("higher_is_better", True)),
            test=record.metric("test", monitor.rpartition("/")[2]),
            seconds=record.seconds,
            parameters=(record.result.get("cost") or {}).get("parameters"),
            config=dict(record.config),
        )

    def plain(self) -> dict[str, Any]:
        """Return the fields as a dictionary for JSON."""
        return asdict(self)


def sorted_by(rows: Sequence[Row], order: Order) -> list[Row]:
    """Sort rows by age (newest first), metric (best first) or cost (most expensive first); unknown values last."""
    keys = {
        "age": lambda row: row.age,
        "metric": lambda row: (
            None if row.value is None else -row.value if row.higher_is_better else row.value
        ),
        "cost": lambda row: None if row.seconds is None else -row.seconds,
    }
    found = [(keys[order](row), row) for row in rows]
    known = sorted((pair for pair in found if pair[0] is not None), key=lambda pair: pair[0])
    return [row for _, row in known] + [row for key, row in found if key is None]


def run_list(rows: Sequence[Row], root: Path) -> RenderableType:
    """Format one line per run: state, age, monitored value, same metric on test, training time, folder under `root`."""
    monitors = {row.monitor for row in rows if row.value is not None}
    common = next(iter(monitors)) if len(monitors) == 1 else ""
    has_test = any(row.test is not None for row in rows)
    table = plain_table("", ("state", "left"), ("age", "right"), (_header(common or "monitor"), "right"))
    if has_test:
        table.add_column("test", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("folder", overflow="fold")
    for row in rows:
        state = "stale" if row.stale else row.state
        value = number(row.value) if common or row.value is None else f"{row.monitor} {number(row.value)}"
        cells: list[RenderableType] = [text(state, STYLES.get(state, "")), age(row.age), value]
        cells += [number(row.test)] if has_test else []
        table.add_row(*cells, duration(row.seconds), text(os.path.relpath(row.folder, root)))
    return Group(table, note("\n".join(_notes(rows, root))))


def _header(monitor: str) -> str:
    """Break the metric's name into lines, so that the column is as narrow as its numbers."""
    return monitor.replace("_", "_\n").replace("/", "/\n")


def age(seconds: float | None) -> str:
    """Format an age in its largest unit.

    >>> age(90000.0), age(7300.0), age(0.2)
    ('1 d', '2 h', '0 s')
    """
    if seconds is None:
        return UNKNOWN
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), ("s", 1))
    return f"{int(max(seconds, 0) // size)} {unit}"


def _notes(rows: Sequence[Row], root: Path) -> list[str]:
    states = Counter("stale" if row.stale else row.state for row in rows)
    notes = [f"{plural(len(rows), 'run')} under {root}: " + ", ".join(f"{n} {s}" for s, n in states.items())]
    changed = Counter(change for row in rows for change in row.stale)
    if changed:
        notes.append("stale, since made with other versions: " + ", ".join(changed))
    return notes + [row.problem for row in rows if row.problem]
