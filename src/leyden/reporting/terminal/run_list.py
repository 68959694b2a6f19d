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

from leyden.reporting.comparison.distinguishing_keys import distinguishing_keys, format_value, heading
from leyden.reporting.comparison.groups import computing
from leyden.reporting.format import UNKNOWN, duration, number
from leyden.reporting.terminal.layout import plain_table, text
from leyden.runs.query import UNSET, version_changes
from leyden.runs.records import Record
from leyden.utils.console import console
from leyden.utils.text import plural

Order = Literal["metric", "age", "cost"]
STYLES = {
    **{"complete": "green", "failed": "bold red", "damaged": "bold red"},
    **{"running": "cyan", "interrupted": "yellow", "stale": "yellow"},
}
_IN_NAME = ("data", "model", "seed")
_FEWEST_DIFFERING = 16  # characters that the column needs; on a narrow terminal it stands below the folder
_OTHER_COLUMNS = 52  # characters of those before it
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))  # of an age, in seconds


@dataclass(frozen=True)
class Row:
    """One line of the list. started: seconds since 1970; age, and seconds of training: in seconds."""

    folder: str
    differs: str
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
    def of(cls, record: Record, now: float, differs: str = "") -> "Row":
        """Create the row of a record; `now` in seconds since 1970, `differs`: see `what_differs`."""
        best, started = record.best, record.started
        monitor = str(best.get("monitor") or record.config.get("monitor") or "")
        return cls(
            folder=str(record.folder),
            differs=differs,
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


def what_differs(records: Sequence[Record]) -> list[str]:
    """What sets each run apart from most of the others, beyond data, model and seed, which are in its name.

    A value that more than half of them have is not repeated.
    """
    settings = [computing(record) for record in records]
    keys = [key for key in distinguishing_keys(settings) if heading(key) not in _IN_NAME]
    usual = {key: Counter(format_value(of_run, key) for of_run in settings).most_common(1)[0] for key in keys}
    common = {key: value for key, (value, count) in usual.items() if 2 * count > len(records)}
    return [
        ", ".join(
            f"{heading(key).rpartition('.')[2]} {value}"
            for key in keys
            if (value := format_value(of_run, key)) not in (UNSET, common.get(key))
        )
        for of_run in settings
    ]


def run_list(rows: Sequence[Row], root: Path) -> RenderableType:
    """Format one line per run: state, age, monitored value, the same on test, time, what differs, folder."""
    monitors = {row.monitor for row in rows if row.value is not None}
    common = next(iter(monitors)) if len(monitors) == 1 else ""
    has_test = any(row.test is not None for row in rows)
    table = plain_table("", ("state", "left"), ("age", "right"), (_header(common or "monitor"), "right"))
    if has_test:
        table.add_column("test", justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    folders = [os.path.relpath(row.folder, root) for row in rows]
    room = console.width - _OTHER_COLUMNS - max(map(len, folders))
    has_column = room >= _FEWEST_DIFFERING and any(row.differs for row in rows)
    if has_column:
        table.add_column("differs", max_width=room, overflow="fold")
    table.add_column("folder", no_wrap=True)
    for row, folder in zip(rows, folders, strict=True):
        state = "stale" if row.stale else row.state
        value = number(row.value) if common or row.value is None else f"{row.monitor} {number(row.value)}"
        cells: list[RenderableType] = [text(state, STYLES.get(state, "")), age(row.age), value]
        cells += [number(row.test)] if has_test else []
        cells += [duration(row.seconds), *([text(row.differs)] if has_column else [])]
        below = f"\n  {row.differs}" if row.differs and not has_column else ""
        table.add_row(*cells, text(folder).append(below, style="dim"))
    return Group(table, text("\n".join([*_notes(rows, root), ""]), "dim"))


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
