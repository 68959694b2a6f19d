"""`leyden runs diff A B`: differences between two runs, side by side: configuration, environment, metrics."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leyden.reporting.format import UNKNOWN, duration, estimate, number
from leyden.reporting.terminal.layout import note, plain_table, text
from leyden.runs.records import Record
from leyden.runs.result import threads_used

Pair = tuple[str, str, str]  # name, value in A, value in B
UNSET = "not set"
_NAMES = {
    "cpu.cores": "CPU cores",
    "cpu.threads": "threads",
    "git.commit": "git commit",
    "git.changed": "git changed",
}
_ENVIRONMENT_KEYS = ("python", "platform", "host", "precision", "data")


def difference(a: Record, b: Record) -> RenderableType:
    """Format tables of the differences; one line for each part without any."""
    parts: list[RenderableType] = [text(f"A  {a.folder}", "bold"), text(f"B  {b.folder}", "bold"), text("")]
    for title, pairs in (
        ("configuration", differences(a.keys, b.keys)),
        ("versions, data, machine", differences(_environment(a), _environment(b))),
    ):
        parts.append(_side_by_side(title, pairs) if pairs else note(f"{title}: no differences"))
    return Group(*parts, *_results(a, b))


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Pair]:
    """Return (key, value in A, value in B) of every key whose value differs."""
    pairs = [(key, _format_value(a, key), _format_value(b, key)) for key in dict.fromkeys([*a, *b])]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _format_value(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return UNSET
    value = values[key]
    literals = {None: "null", True: "true", False: "false"}
    return literals[value] if value is None or isinstance(value, bool) else str(value)


def _environment(record: Record) -> dict[str, Any]:
    """Return the flat part of the manifest that may explain a difference of results."""
    manifest = record.manifest()
    known = {key: manifest[key] for key in _ENVIRONMENT_KEYS if key in manifest}
    for part in ("cpu", "git"):
        known |= {_NAMES[f"{part}.{key}"]: value for key, value in (manifest.get(part) or {}).items()}
    if plan := record.result.get("compute"):
        known |= {
            "threads": ", then ".join(map(str, threads_used(plan))),
            "memory format": plan["memory_format"],
        }
    known |= {"gpus": ", ".join(manifest["gpus"]) or "none"} if "gpus" in manifest else {}
    return {**(manifest.get("packages") or {}), **known}


def _side_by_side(title: str, pairs: list[Pair]) -> Table:
    table = plain_table(title, ("", "left"), ("A", "left"), ("B", "left"))
    for name, *values in pairs:
        table.add_row(text(name), *map(text, values))
    return table


def _results(a: Record, b: Record) -> Iterator[RenderableType]:
    """Yield a table for each split that either run has, then the training times."""
    splits = [split for split in ("test", "val") if _split(a, split) or _split(b, split)]
    for split in splits:
        yield _metrics(split, _split(a, split), _split(b, split))
    if not splits:
        yield note(f"metrics: none to compare (A is {a.state}, B is {b.state})")
        return
    yield note(
        "95 % intervals of each run, for the sampling of its test or validation samples. To test whether a difference\n"
        "exceeds the variation across seeds, train several seeds and use `leyden report`."
    )
    yield text(f"training time  A {duration(a.seconds)}, B {duration(b.seconds)}")


def _split(record: Record, split: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (record.result.get("metrics") or {}).get(split) or {}
    return found


def _metrics(split: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Table:
    table = plain_table(_title(split, a, b), ("metric", "left"))
    for header in ("A", "B", "B - A"):
        table.add_column(header, no_wrap=header != "B - A", justify="right" if header == "B - A" else "left")
    ours, theirs = _estimates(a), _estimates(b)
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name, {}), theirs.get(name, {})
        table.add_row(text(name), _cell(one), _cell(other), _change(one.get("value"), other.get("value")))
    return table


def _title(split: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    sizes = [str(of_run.get("n", UNKNOWN)) for of_run in (a, b)]
    return f"{split} (n = {' and '.join(dict.fromkeys(sizes))})"


def _estimates(split: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return every metric by name; scalars of a user's own module have no interval."""
    scalars = {name: {"value": value} for name, value in (split.get("scalars") or {}).items()}
    return {**(split.get("values") or {}), **scalars}


def _cell(stored: Mapping[str, Any]) -> Text:
    return text(estimate(stored) if stored else UNKNOWN)


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return UNKNOWN
    return f"{'+' if after >= before else '-'}{number(abs(after - before))}"
