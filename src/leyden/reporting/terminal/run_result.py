"""The tables printed at the end of a run, from result.json.

Any part may be missing: a user's own module has scalars only, a failed run has no metrics.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leyden.metrics.results import MOST_ROWS
from leyden.reporting.format import count, duration, estimate, interval, normaliser_note, number
from leyden.reporting.fused_runs import fused_run
from leyden.reporting.terminal.findings import findings_lines
from leyden.reporting.terminal.layout import facts, note, plain_table, text
from leyden.reporting.terminal.transcripts import confused_table, length_table, speaker_table
from leyden.runs.run import EVENT_FILES
from leyden.utils.text import plural

MOST_CLASSES = 30  # with more classes, only the worst are shown
WORST = 10
_GROUPS = {"many": "> 100", "medium": "20 - 100", "few": "< 20"}  # training samples
_SHARES = 5  # class shares listed
_MEASURES = 2  # of each subset of inputs
_SPLITS = {"test": "test", "val": "validation"}
_STATUS_STYLES = {"complete": "bold green", "failed": "bold red"}
_COST_UNITS = {"samples_per_second": "samples/s", "parameters": "parameters", "flops": "FLOPs/sample"}


def result_table(result: Mapping[str, Any]) -> RenderableType:
    """Format metrics with intervals, metrics per class, cost, best checkpoint and folder. result: result.json."""
    splits = {key: found for key in _SPLITS if (found := (result.get("metrics") or {}).get(key))}
    parts: list[RenderableType] = list(_problems(result))
    if splits:
        parts += [_metrics_table(splits), *_notes(splits)]
    parts += list(_groups(splits))
    for part, tables in _DETAILS.items():
        detailed = next((key for key in splits if splits[key].get(part)), None)
        if detailed:
            parts += list(tables(detailed, splits[detailed][part]))
    parts += list(_inputs(result))
    return Group(*parts, _facts(result))


def _problems(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the error of a failed run and the findings."""
    error = result.get("error")
    if error:
        yield text(f"{error.get('type', 'error')}: {error.get('message', '')}", "bold red")
        if error.get("where"):
            yield note(f"at {error['where']}")
    yield from findings_lines(result.get("doctor") or [], result.get("command") or ("leyden", "train"))


def _cells(split: Mapping[str, Any]) -> dict[str, str]:
    """Return every value of one split as text, by name."""
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
        yield note(
            "95 % intervals for the sampling of the evaluated samples; variation across seeds not included."
        )
    if normalised := normaliser_note(splits.values()):
        yield note(normalised)


def _groups(splits: Mapping[str, Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Yield a table of recall by number of training samples of the class, if there is more than one group."""
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
        of_all = (
            f" of {count(len(classes))}" if len(classes) < MOST_ROWS else ""
        )  # of more they are not all here
        title = f"{_SPLITS[split]}, the {len(shown)}{of_all} classes with the lowest recall"
    table = plain_table(title, ("class", "left"), ("n", "right"), ("precision", "right"))
    table.add_column("recall", no_wrap=True)
    table.add_column("F1", justify="right", no_wrap=True)
    for c in shown:
        precision, f1 = (number(c[key]["value"]) for key in ("precision", "f1"))
        table.add_row(text(c["name"]), count(c["n"]), precision, text(estimate(c["recall"])), f1)
    yield table
    if len(shown) < len(classes):
        zero = sum(1 for c in classes if c["n"] and not c["recall"]["value"])
        least = "at least " if zero == MOST_ROWS else ""
        zero_recall = f"; {least}{plural(zero, 'class', 'classes')} with zero recall" if zero else ""
        yield note(f"{count(len(classes) - len(shown))} more classes in result.json{zero_recall}")


def _label_tables(split: str, labels: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    shown, title = list(labels), f"{_SPLITS[split]}, by label"
    if len(labels) > MOST_CLASSES:
        present = [label for label in labels if label["n"]]
        shown = sorted(present, key=lambda label: (label["average_precision"]["value"], label["name"]))[
            :WORST
        ]
        title = f"{_SPLITS[split]}, the {len(shown)} of {count(len(labels))} labels with the lowest average precision"
    table = plain_table(title, ("label", "left"), ("n", "right"), ("precision", "right"), ("recall", "right"))
    table.add_column("F1", justify="right", no_wrap=True)
    table.add_column("average precision", no_wrap=True)
    for label in shown:
        cells = (number(label[key]["value"]) for key in ("precision", "recall", "f1"))
        table.add_row(
            text(label["name"]), count(label["n"]), *cells, text(estimate(label["average_precision"]))
        )
    yield table
    if len(shown) < len(labels):
        yield note(f"{count(len(labels) - len(shown))} more labels in result.json")


def _target_tables(split: str, targets: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    if len(targets) < 2:
        return  # its values are those of the whole
    table = plain_table(f"{_SPLITS[split]}, by target", ("target", "left"), ("MAE", "left"), ("RMSE", "left"))
    table.add_column("R2", no_wrap=True)
    table.add_column("Spearman", justify="right", no_wrap=True)
    for target in targets:
        cells = (text(estimate(target[key])) for key in ("mae", "rmse", "r2"))
        table.add_row(text(target["name"]), *cells, number(target["spearman"]["value"]))
    yield table


def _direction_tables(split: str, ways: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    table = plain_table(f"{_SPLITS[split]}, by direction", ("metric", "left"))
    for way in ways:
        table.add_column(f"{way['query']} finds {way['gallery']}", no_wrap=True)
    for name in ways[0]["values"]:
        table.add_row(text(name), *(text(estimate(way["values"][name])) for way in ways))
    yield table


_DETAILS = {
    "per_class": _class_tables,
    "per_label": _label_tables,
    "per_target": _target_tables,
    "confused_words": lambda split, pairs: confused_table(_SPLITS[split], pairs),
    "by_length": lambda split, groups: length_table(_SPLITS[split], groups),
    "by_speaker": lambda split, groups: speaker_table(_SPLITS[split], groups),
    "retrieval": _direction_tables,
}


def _inputs(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the table of subsets of several inputs, what all add to the best single one, and the nets of one input."""
    found = result.get("inputs")
    if not found:
        return
    table = plain_table(f"{_SPLITS[found['split']]}, by inputs")
    table.add_column("inputs", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    shown = list(found["subsets"][-1]["values"])[:_MEASURES]
    for name in shown:
        table.add_column(name, no_wrap=True)
    for subset in found["subsets"]:
        cells = (text(estimate(subset["values"][name])) for name in shown)
        table.add_row(text(" + ".join(subset["inputs"])), count(subset["n"]), *cells)
    yield table
    yield note(
        f"All inputs add {estimate(found['adds'])} to {found['best_single']} alone: {found['measure']}, on the same "
        "rows."
    )
    if result.get("folder"):
        yield note("\n".join(fused_run(result).beside()))


def _facts(result: Mapping[str, Any]) -> Table:
    """Format status, best checkpoint, decision rule, cost and folder as two columns: name and value."""
    status = str(result.get("status", "unknown"))
    rows: list[tuple[str, str | Text]] = [
        ("status", text(status, _STATUS_STYLES.get(status, "bold yellow"))),
        ("best", _best(result)),
        ("decision", _decision(result)),
        ("prior", _answered(result)),
        ("cost", _cost(result.get("cost") or {})),
    ]
    folder = str(result.get("folder") or "")
    if folder:
        rows.append(("folder", folder))
        if any(Path(folder).rglob(EVENT_FILES)):  # earlier versions had a folder for them
            rows.append(("view", text(f"tensorboard --logdir {shlex.quote(folder)}", "bold")))
    return facts(rows)


def _best(result: Mapping[str, Any]) -> str:
    best = result.get("best") or {}
    if best.get("monitor") is None:
        return ""
    at = [f"{name} {count(best[name])}" for name in ("epoch", "step") if best.get(name) is not None]
    where = f" at {', '.join(at)}" if at else ""
    checkpoint = f": {best['checkpoint']}" if best.get("checkpoint") else ""
    return f"{best['monitor']} {number(best.get('value'))}{where}{checkpoint}"


def _decision(result: Mapping[str, Any]) -> str:
    """Format the post-hoc calibration and decision rule, and the class prior they are for; "" if there is none."""
    point = result.get("operating_point") or {}
    parts = [f"temperature {number(point['temperature'])}"] if point.get("temperature", 1) != 1 else []
    parts += [_prior(result)] if any(point.get("shift") or ()) else []
    if any(point.get("decision") or ()) or point.get("cost"):
        selection = point.get("chosen_on") or {}
        known = selection.get("before") is not None and selection.get("after") is not None
        gain = f" (in-sample {number(selection['before'])} -> {number(selection['after'])})" if known else ""
        kept = point["criterion"] == "unchanged"
        parts.append("classes as without it" if kept else f"optimised for {point['criterion']}{gain}")
    return ", ".join(parts)


def _answered(result: Mapping[str, Any]) -> str:
    """Format the class shares that the net was found to answer by; "" where its loss fixes them."""
    prior = result.get("prior") or {}
    last = (prior.get("phases") or [{}])[-1]
    if last.get("source") != "validation":
        return ""
    answered, training = (
        f"{', '.join(map(number, shares[:_SHARES]))}{', ...' if len(shares) > _SHARES else ''}"
        for shares in (last["effective"], prior["training"])
    )
    return f"the net answers by the shares {answered} (estimated on validation); training: {training}"


def _prior(result: Mapping[str, Any]) -> str:
    """Format the class prior that the probabilities are adjusted to."""
    target = ((result.get("config") or {}).get("decision") or {}).get("target_prior")
    if isinstance(target, Mapping):
        shown = [f"{name} {number(share)}" for name, share in list(target.items())[:_SHARES]]
        return f"class shares: {', '.join(shown)}{', ...' if len(target) > _SHARES else ''}"
    kind = "label" if "thresholds" in result["operating_point"] else "class"
    named = {"uniform": "uniform", "training": "as in training", "validation": "as in validation"}
    return f"{kind} shares: {named[str(target)]}" if str(target) in named else "custom class prior"


def _cost(cost: Mapping[str, Any]) -> str:
    parts = [duration(cost["seconds"])] if cost.get("seconds") is not None else []
    named = [(unit, cost.get(key)) for key, unit in _COST_UNITS.items()]
    return ", ".join(parts + [f"{count(value)} {unit}" for unit, value in named if value is not None])
