"""`leyden runs show RUN`: all details of one run: state, command, environment, configuration, metrics, files.

run_page(record, time.time(), defaults)
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leyden.reporting.terminal.layout import facts, text
from leyden.reporting.terminal.run_list import STYLES, Row, age
from leyden.reporting.terminal.run_result import result_table
from leyden.reporting.terminal.tables import config_tree
from leyden.runs.query import version_changes
from leyden.runs.records import Record
from leyden.runs.result import threads_used
from leyden.runs.run import COSMETIC
from leyden.utils.text import plural

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_STATE_NOTES = {
    "interrupted": "the command resumes it",
    "failed": "the command trains it again",
    "running": "by another process",
}


def run_page(record: Record, now: float, defaults: Mapping[str, Any]) -> RenderableType:
    """Format the details of a run.

    Args:
        record: of the run.
        now: seconds since 1970.
        defaults: flat configuration of a run without arguments; keys that differ from it are listed first.
    """
    parts: list[RenderableType] = [_overview(record, now)]
    if record.config:
        parts += [text(""), non_defaults(record.keys, defaults), text(""), config_tree(record.config)]
    if record.state == "complete":
        parts += [text(""), result_table({**record.result, "folder": str(record.folder)})]
    return Group(*parts, text(""), facts([("files", _files(record.folder))]))


def _overview(record: Record, now: float) -> Table:
    result, manifest = record.result, {} if record.problem else record.manifest()
    command: Sequence[str] = result.get("command") or manifest.get("command") or []
    style = STYLES.get("stale" if version_changes(record) else record.state, "")
    rows: list[tuple[str, str | Text]] = [
        ("run", str(record.folder)),
        ("state", text(_state(record), style)),
        ("problem", record.problem),
    ]
    rows += [("error", _error(record)), ("command", shlex.join(command))]
    rows += [("run in", str(manifest.get("folder") or "")), ("started", _started(record, now))]
    rows += [("git", _git(record, manifest)), ("software", _software(result, manifest))]
    rows += [
        ("machine", _machine(manifest)),
        ("compute", _compute(result)),
        ("data", str(result.get("data") or "")),
    ]
    return facts(rows)


def non_defaults(keys: Mapping[str, Any], defaults: Mapping[str, Any], more: str = "") -> RenderableType:
    """Format the keys whose values differ from those of a run without arguments, and can change a result.

    Args:
        keys: flat configuration.
        defaults: that of a run without arguments.
        more: printed after the title.
    """
    other = {
        key: value
        for key, value in keys.items()
        if key not in COSMETIC and (key not in defaults or defaults[key] != value)
    }
    if not other:
        return text(f"settings: all defaults{more}", "dim")
    title = text(f"settings that differ from the defaults{more}", "bold")
    return Group(title, facts((key, str(value)) for key, value in other.items()))


def _state(record: Record) -> str:
    changed = version_changes(record)
    if changed:
        return f"stale: made with other versions ({', '.join(changed)})"
    state_note = _STATE_NOTES.get(record.state)
    return f"{record.state}: {state_note}" if state_note else record.state


def _error(record: Record) -> str:
    error = record.result.get("error") or {}
    if not error:
        return ""
    where = f" ({error['where']})" if error.get("where") else ""
    traceback = "; the traceback is in error.txt" if (record.folder / "error.txt").exists() else ""
    return f"{error.get('type')}: {error.get('message')}{where}{traceback}"


def _started(record: Record, now: float) -> str:
    started, since = record.result.get("started"), Row.of(record, now).age
    return f"{started} ({age(since)} ago)" if started else ""


def _git(record: Record, manifest: Mapping[str, Any]) -> str:
    git = manifest.get("git") or {}
    if not git:
        return ""
    changed = ", with uncommitted changes" if git.get("changed") else ""
    diff = " (see changes.diff)" if (record.folder / "changes.diff").exists() else ""
    return f"{git.get('commit')}{changed}{diff}"


def _software(result: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    versions = {**(manifest.get("packages") or {}), **(result.get("made_with") or {})}
    python = [f"python {manifest['python']}"] if "python" in manifest else []
    return ", ".join([*(f"{name} {number}" for name, number in versions.items()), *python])


def _machine(manifest: Mapping[str, Any]) -> str:
    cpu, gpus = manifest.get("cpu") or {}, manifest.get("gpus")
    parts = [str(manifest[key]) for key in ("host", "platform") if key in manifest]
    parts += [f"{cpu['cores']} CPU cores" if cpu.get("cores") else ""]
    parts += [] if gpus is None else [", ".join(gpus) or "no GPU"]
    parts += [
        f"at most {plural(cpu['threads'], 'thread')}" if "threads" in cpu else "",
        str(manifest.get("precision") or ""),
    ]
    return ", ".join(part for part in parts if part)


def _compute(result: Mapping[str, Any]) -> str:
    """How steps were computed, and why; "" of a run that does not say."""
    plan = result.get("compute") or {}
    if not plan:
        return ""
    threads = ", then ".join(plural(n, "thread") for n in threads_used(plan))
    chosen = [str(plan[key]) for key in ("memory_format", "precision") if plan.get(key)]
    chosen += ["compiled"] if plan.get("compiled") else []
    return f"{', '.join([threads, *chosen])} ({plan.get('reason') or 'no reason is kept'})"


def _files(folder: Path) -> str:
    return "\n".join(_list_files(folder))


def _list_files(folder: Path) -> Iterator[str]:
    """Yield one line per file, with its size, and one line per subfolder, with its files."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            yield f"{path.name} (a link)"
        elif path.is_file() and path.name != ".lock":
            yield _with_size(path)
        elif path.is_dir():
            files = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.is_symlink()]
            yield f"{path.name}/ {', '.join(map(_with_size, files))}".rstrip()


def _with_size(path: Path) -> str:
    return f"{path.name} ({size(path.stat().st_size)})"


def size(n: float) -> str:
    """Format a number of bytes in decimal units.

    >>> size(999), size(1234), size(7_000_000_000)
    ('999 B', '1.2 kB', '7.0 GB')
    """
    for unit, least in _UNITS:
        if n >= least:
            return f"{n / least:.1f} {unit}"
    return f"{n:.0f} B"
