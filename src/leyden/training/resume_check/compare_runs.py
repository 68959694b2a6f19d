"""Two finished runs, compared bit for bit: what is equal, and the first thing that differs. Clocks are left out."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from leyden.callbacks.tensorboard_tags import HEALTH
from leyden.runs.run import EVENT_FILES
from leyden.utils import tensors

TIMES = (f"{HEALTH}/data_wait",)  # among the scalars
_STATES = ("optimizer_states", "lr_schedulers")  # of a checkpoint, beside the weights


class Part(NamedTuple):
    """A part of a run: how many values it has, and the first difference; empty where there is none."""

    name: str
    values: int
    difference: str


def compare(one: Path, other: Path) -> list[Part]:
    """Every part of two finished runs' folders: weights, optimizer, metrics, scalars, predictions, result."""
    return [
        _part(name, dict(_leaves(read(one))), dict(_leaves(read(other)))) for name, read in _READERS.items()
    ]


def _best(folder: Path) -> Any:
    return _checkpoint(folder, "best")["state_dict"]


def _last(folder: Path) -> Any:
    return _checkpoint(folder, "last")["state_dict"]


def _training(folder: Path) -> Any:
    return {name: _checkpoint(folder, "last")[name] for name in _STATES}


def _checkpoint(folder: Path, name: str) -> Any:
    return tensors.load(folder / "checkpoints" / f"{name}.ckpt")


def _history(folder: Path) -> Any:
    with (folder / "metrics.csv").open(newline="") as file:
        return {f"row {number}": row for number, row in enumerate(csv.DictReader(file), 1)}


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every scalar in the event files, as TensorBoard shows them, without times."""
    if not list(folder.glob(EVENT_FILES)):
        return {}
    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag not in TIMES]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def _predictions(folder: Path) -> Any:
    files = sorted((folder / "predictions").glob("*.npz"))
    return {path.stem: dict(np.load(path)) for path in files}


def _result(folder: Path) -> Any:
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    steps = stored.get("cost", {}).get("steps")
    computed = {k: v for k, v in (stored.get("compute") or {}).items() if k not in ("reason", "seconds")}
    kept = {name: stored.get(name) for name in ("status", "metrics", "best")}
    return {**kept, "steps": steps, "compute": computed}


_READERS = {
    "weights, best.ckpt": _best,
    "weights, last.ckpt": _last,
    "optimizer and schedule": _training,
    "metrics.csv": _history,
    "TensorBoard scalars": scalars,
    "predictions": _predictions,
    "result.json": _result,
}


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of everything in nested mappings and lists."""
    if isinstance(node, Mapping):
        pairs: Any = node.items()
    elif isinstance(node, list | tuple):
        pairs = enumerate(node)
    else:
        yield path, node
        return
    for key, value in pairs:
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _part(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Part:
    names = list(dict.fromkeys([*one, *other]))
    differing = [n for n in names if not (n in one and n in other and _equal(one[n], other[n]))]
    if not differing:
        return Part(name, len(names), "")
    first = differing[0]
    many = f" (and {len(differing) - 1} more of {len(names)})" if len(differing) > 1 else ""
    return Part(name, len(names), f"{first}: {_describe(one.get(first), other.get(first))}{many}")


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if torch.is_tensor(one):
        return one.shape == other.shape and bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other) or (one != one and other != other)  # NaN is equal to NaN here


def _describe(one: Any, other: Any) -> str:
    """A difference in words: of arrays, where it begins."""
    if one is None or other is None:
        return f"only in the {'resumed' if one is None else 'uninterrupted'} run"
    if not torch.is_tensor(one) and not isinstance(one, np.ndarray):
        return f"{one} uninterrupted, {other} resumed"
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return f"shape {a.shape} uninterrupted, {b.shape} resumed"
    place = tuple(int(i) for i in np.argwhere(a != b)[0])
    at = f" at {list(place)}" if place else ""
    return f"{a[place]!s} uninterrupted, {b[place]!s} resumed{at}"
