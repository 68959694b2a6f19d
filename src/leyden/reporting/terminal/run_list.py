"""`leyden runs`: many runs as one table, or as plain values for a script.

rows = [Row.of(record, now) for record in records]
overview(sorted_by(rows, "metric"), root)
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType

from leyden.reporting.format import UNKNOWN, duration, number, plural
from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.runs.query import stale
from leyden.runs.records import Record

Order = Literal["metric", "age", "cost"]
STYLES = {
    **{"complete": "green", "failed": "bold red", "damaged": "bold red"},
    **{"running": "cyan", "interrupted": "yellow", "stale": "yellow"},
}
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # of an age, in seconds


@dataclass(frozen=True)
class Row:
    """What is said of a run. started: seconds since 1970; age and seconds (of training): in seconds."""

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
        """Of a record; `now` in seconds since 1970."""
        best, began = record.best, _time(record)
        monitor = str(best.get("monitor") or record.config.get("monitor") or "")
        return cls(
            folder=str(record.folder),
            experiment=record.experiment,
            state=record.state,
            stale=stale(record),
            problem=record.problem,
            started=began,
            age=None if began is None else now - began,
            monitor=monitor,
            value=best.get("value"),
            higher_is_better=bool(best.get("higher_is_better", True)),
            test=record.metric("test", monitor.rpartition("/")[2]),
            seconds=record.seconds,
            parameters=(record.result.get("cost") or {}).get("parameters"),
            config=dict(record.config),
        )

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def _time(record: Record) -> float | None:
    """When it was started; of a damaged one, when its folder was last changed."""
    started = record.result.get("started")
    try:
        return datetime.fromisoformat(str(started)).timestamp()
    except ValueError:
        return record.folder.stat().st_mtime if record.folder.exists() else None


def sorted_by(rows: Sequence[Row], order: Order) -> list[Row]:
    """The newest first, the best first by its monitor's direction, or the most expensive first; unknown ones last."""
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
    """A line a run: state, age, the monitored value, the same metric of the test split, time, folder under `root`."""
    monitors = {row.monitor for row in rows if row.value is not None}
    alone = next(iter(monitors)) if len(monitors) == 1 else ""
    tested = any(row.test is not None for row in rows)
    table = plain_table("", ("state", "left"), ("age", "right"), (_header(alone or "monitor"), "right"))
    if tested:
        table.add_column("test", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("folder", overflow="fold")
    for row in rows:
        state = "stale" if row.stale else row.state
        value = number(row.value) if alone or row.value is None else f"{row.monitor} {number(row.value)}"
        cells: list[RenderableType] = [text(state, STYLES.get(state, "")), age(row.age), value]
        cells += [number(row.test)] if tested else []
        table.add_row(*cells, duration(row.seconds), text(os.path.relpath(row.folder, root)))
    return Group(table, note("\n".join(_remarks(rows, root))))


def _header(monitor: str) -> str:
    """A word a line, so that the column is as narrow as its numbers."""
    return monitor.replace("_", "\n").replace("/", "/\n")


def age(seconds: float | None) -> str:
    """In the largest unit that there is one of.

    >>> age(90000.0), age(7300.0), age(0.2)
    ('1 d', '2 h', '0 s')
    """
    if seconds is None:
        return UNKNOWN
    unit, size = next(((unit, size) for unit, size in _UNITS if seconds >= size), ("s", 1))
    return f"{int(max(seconds, 0) // size)} {unit}"


def _remarks(rows: Sequence[Row], root: Path) -> list[str]:
    states = Counter("stale" if row.stale else row.state for row in rows)
    said = [f"{plural(len(rows), 'run')} under {root}: " + ", ".join(f"{n} {s}" for s, n in states.items())]
    changed = Counter(change for row in rows for change in row.stale)
    if changed:
        said.append("stale, for made with other software: " + ", ".join(changed))
    return said + [row.problem for row in rows if row.problem]
