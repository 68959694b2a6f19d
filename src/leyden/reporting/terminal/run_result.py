"""What the terminal shows at the end of a run: result.json (schema 1) as tables.

Any part may be missing: a user's own module gives scalars only, a failed run has no metrics.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from leyden.reporting.format import count, duration, estimate, interval, number, plural
from leyden.reporting.terminal.findings import findings_lines
from leyden.reporting.terminal.layout import note, plain_table, text

MOST_CLASSES = 30  # above it the worst alone are shown
WORST = 10
_GROUPS = {"many": "> 100", "medium": "20 - 100", "few": "< 20"}  # training samples
_SHARES = 5  # of classes that are named
_SPLITS = {"test": "test", "val": "validation"}
_STATUS_STYLES = {"complete": "bold green", "failed": "bold red"}
_COST_WORDS = {"samples_per_second": "samples/s", "parameters": "parameters", "flops": "FLOPs a sample"}


def result_table(result: Mapping[str, Any]) -> RenderableType:
    """Metrics with intervals, per class, cost, best checkpoint and where to look. result: result.json."""
    splits = {key: found for key in _SPLITS if (found := (result.get("metrics") or {}).get(key))}
    parts: list[RenderableType] = list(_trouble(result))
    if splits:
        parts += [_metrics_table(splits), *_notes(splits)]
    parts += list(_groups(splits))
    detailed = next((key for key in splits if splits[key].get("per_class")), None)
    if detailed:
        parts += list(_class_tables(detailed, splits[detailed]["per_class"]))
    return Group(*parts, _facts(result))


def _trouble(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The error of a failed run and the doctor's findings."""
    error = result.get("error")
    if error:
        yield text(f"{error.get('type', 'error')}: {error.get('message', '')}", "bold red")
        if error.get("where"):
            yield note(f"at {error['where']}")
    yield from findings_lines(result.get("doctor") or [], result.get("command") or ("leyden", "train"))


def _cells(split: Mapping[str, Any]) -> dict[str, str]:
    """Every value of one split as text, by name."""
    cells = {name: estimate(stored) for name, stored in (split.get("values") or {}).items()}
    return cells | {name: number(value) for name, value in (split.get("scalars") or {}).items()}


def _metrics_table(splits: Mapping[str, Mapping[str, Any]]) -> Table:
    table = plain_table("", ("metric", "left"))
    for key, split in splits.items():
        size = f" (n = {count(split['n'])})" if "n" in split else ""
        table.add_column(f"{_SPLITS[key]}{size}", no_wrap=True)
    cells = {key: _cells(split) for key, split in splits.items()}
    for name in dict.fromkeys(name for of_split in cells.values() for name in of_split):
        table.add_row(text(name), *(text(of_split.get(name, "")) for of_split in cells.values()))
    return table


def _notes(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    if any(interval(stored) for split in splits.values() for stored in (split.get("values") or {}).values()):
        yield note("95 % intervals for the draw of the samples; the seed's luck is not in them.")


def _groups(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Recall of the classes with many and with few training samples, where there is more than one such group."""
    names = dict.fromkeys(name for split in splits.values() for name in split.get("groups") or {})
    if len(names) < 2:
        return
    table = plain_table("recall by training samples of the class", ("", "left"), ("classes", "right"))
    for key in splits:
        table.add_column(_SPLITS[key], no_wrap=True)
    for name in names:
        found = [(split.get("groups") or {}).get(name) for split in splits.values()]
        classes = next(group["classes"] for group in found if group)
        cells = [text(estimate(group["recall"]) if group else "") for group in found]
        table.add_row(f"{name} ({_GROUPS[name]})", count(classes), *cells)
    yield table


def _class_tables(split: str, classes: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    shown, title = list(classes), f"{_SPLITS[split]}, by class"
    if len(classes) > MOST_CLASSES:
        present = [c for c in classes if c["n"]]
        shown = sorted(present, key=lambda c: (c["recall"]["value"], c["name"]))[:WORST]
        title = f"{_SPLITS[split]}, the {len(shown)} classes of lowest recall of {count(len(classes))}"
    table = plain_table(title, ("class", "left"), ("n", "right"), ("precision", "right"))
    table.add_column("recall", no_wrap=True)
    table.add_column("F1", justify="right", no_wrap=True)
    for c in shown:
        precision, f1 = (number(c[key]["value"]) for key in ("precision", "f1"))
        table.add_row(text(c["name"]), count(c["n"]), precision, text(estimate(c["recall"])), f1)
    yield table
    if len(shown) < len(classes):
        unhit = sum(1 for c in classes if c["n"] and not c["recall"]["value"])
        never = f"; {plural(unhit, 'class', 'classes')} never found" if unhit else ""
        yield note(f"{count(len(classes) - len(shown))} more classes in result.json{never}")


def _facts(result: Mapping[str, Any]) -> Table:
    """Two columns: a word and what it stands for."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    status = str(result.get("status", "unknown"))
    table.add_row("status", text(status, _STATUS_STYLES.get(status, "bold yellow")))
    facts = {
        "best": _best(result),
        "decision": _decision(result),
        "cost": _cost(result.get("cost") or {}),
    }
    for word, value in facts.items():
        if value:
            table.add_row(word, text(value))
    folder = result.get("folder")
    if folder:
        table.add_row("folder", text(str(folder)))
        table.add_row("look", text(f"tensorboard --logdir {shlex.quote(str(folder))}", "bold"))
    return table


def _best(result: Mapping[str, Any]) -> str:
    best = result.get("best") or {}
    if best.get("monitor") is None:
        return ""
    at = [f"{word} {count(best[word])}" for word in ("epoch", "step") if best.get(word) is not None]
    where = f" at {', '.join(at)}" if at else ""
    checkpoint = f": {best['checkpoint']}" if best.get("checkpoint") else ""
    return f"{best['monitor']} {number(best.get('value'))}{where}{checkpoint}"


def _decision(result: Mapping[str, Any]) -> str:
    """What was done to the net's answers after training, and for which class shares; empty where nothing was."""
    point = result.get("operating_point") or {}
    parts = [f"temperature {number(point['temperature'])}"] if point.get("temperature", 1) != 1 else []
    parts += [_prior(result)] if any(point.get("shift") or ()) else []
    if any(point.get("decision") or ()) or point.get("cost"):
        chosen = point.get("chosen_on") or {}
        known = chosen.get("before") is not None and chosen.get("after") is not None
        gain = f" (validation {number(chosen['before'])} -> {number(chosen['after'])})" if known else ""
        parts.append(f"decisions for {point['criterion']}{gain}")
    return ", ".join(parts)


def _prior(result: Mapping[str, Any]) -> str:
    """The class shares that the probabilities are for: what helps under one prior costs under another."""
    target = ((result.get("config") or {}).get("decision") or {}).get("target_prior")
    if isinstance(target, Mapping):
        shown = [f"{name} {number(share)}" for name, share in list(target.items())[:_SHARES]]
        return f"class shares: {', '.join(shown)}{', ...' if len(target) > _SHARES else ''}"
    named = {"uniform": "class shares: uniform", "training": "class shares: those of training"}
    return named.get(str(target), "another class prior")


def _cost(cost: Mapping[str, Any]) -> str:
    parts = [duration(cost["seconds"])] if cost.get("seconds") is not None else []
    named = [(word, cost.get(key)) for key, word in _COST_WORDS.items()]
    return ", ".join(parts + [f"{count(value)} {word}" for word, value in named if value is not None])
