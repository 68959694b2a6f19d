"""Which run a configuration is: ten hex digits, the same on every machine, that name the run's folder."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leyden.config.schema import Config
from leyden.config.signatures import parameters_of
from leyden.config.validate import import_target, targets
from leyden.health.settings import TRAINING_FIELDS, changes_training
from leyden.runs.run import SHOWN, Run
from leyden.utils import code_digest

# Root keys and keys of `data` that can change a result; targets are taken whole. Not here: where things lie,
# what is shown, and how the data are read where that changes no batch (workers, limit_gb, eval_batch_size).
_SCALARS = ("seed", "batch_size", "monitor", "threads", "imbalance")
_READING = ("deduplicate", "on_bad", "bucket")


def identity(config: Config, data_fingerprint: str) -> str:
    """Ten hex digits: a hash of everything that can change the result, and of nothing that cannot.

    That is: every target with every argument bound to its signature's default; the few other keys that count;
    the content of the data in place of where they lie; the source of targets outside Leyden.
    """
    content: dict[str, Any] = {key: getattr(config, key) for key in _SCALARS}
    content["data"] = [data_fingerprint, *(getattr(config.data, key) for key in _READING)]
    content["init"] = [_content_of(config.init.source), config.init.redraw, config.init.freeze]
    if treatment := _changes_training(config):
        content["health"] = treatment
    content["targets"] = {path: _bound(node, path) for path, node, _ in targets(config) if _matters(path)}
    text = json.dumps(content, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def run_of(config: Config, data_fingerprint: str) -> Run:
    """The one folder that belongs to this configuration and these data."""
    return Run(Path(config.runs) / config.experiment / f"{config.name}-{identity(config, data_fingerprint)}")


def _matters(path: str) -> bool:
    return not path.startswith(("logger", "data.source", "health"))


def _changes_training(config: Config) -> dict[str, Any]:
    """What the doctor may change in a run; empty where it only looks."""
    bound = _bound(config.health, "health")
    acting = changes_training(bound.get("on_bad"), bound.get("adaptive_clip"))
    return {name: bound[name] for name in TRAINING_FIELDS} if acting else {}


def _bound(node: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A target's arguments, defaults included, and its source if it is not Leyden's or a dependency's."""
    target = import_target(node["_target_"], path)
    parameters = parameters_of(target).values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    arguments = {**defaults, **node}
    nested = {k: _bound(v, path) if _is_target(v) else _plain(v) for k, v in arguments.items() if _counts(k)}
    return {**nested, "_source_": code_digest.digest(target)}


def _counts(name: str) -> bool:
    return name not in SHOWN and not name.startswith("enable_")


def _is_target(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _plain(value: Any) -> Any:
    """A default value in a form whose text is the same in every process."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # lr=1 is lr=1.0
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def _content_of(weights: str | None) -> str | None:
    """What weights a run starts from: the file's content, or the run's own fingerprint."""
    if weights is None or not Path(weights).exists():
        return weights
    path = Path(weights)
    return path.name if path.is_dir() else hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
