"""The fingerprint of a configuration: ten hex digits, equal on every machine, that identify the run's folder."""

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leyden.config.schema import Compute, Config
from leyden.config.signatures import parameters_of
from leyden.config.validate import import_target, targets
from leyden.health.settings import TRAINING_FIELDS, changes_training
from leyden.runs.naming import folder_name
from leyden.runs.run import DISPLAY_ARGUMENTS, Run
from leyden.utils import code_digest

# Root keys and keys of `data` that can change a result; targets are hashed whole. Excluded: paths, what is
# displayed, and settings of data loading that change no batch (workers, limit_gb, eval_batch_size).
_ROOT_KEYS = ("seed", "batch_size", "monitor", "threads", "imbalance")
_DATA_KEYS = ("deduplicate", "on_bad", "bucket")
_FLIP_KEYS = ("flipped_labels", "flips", "flip_seed")
_AUTO = Compute(
    threads="auto", memory_format="auto"
)  # the default: what it chooses is measured, not asked for


def identity(config: Config, data_fingerprint: str) -> str:
    """Return ten hex digits: a hash of everything that can change the result, and of nothing else.

    Hashed are: every target with its arguments, defaults of the signature included; the other keys that affect the
    result; the content of the data instead of their path; the source code of targets outside Leyden.
    """
    content: dict[str, Any] = {key: getattr(config, key) for key in _ROOT_KEYS}
    content["data"] = [data_fingerprint, *(getattr(config.data, key) for key in _DATA_KEYS)]
    if config.data.flipped_labels:
        content["flips"] = [getattr(config.data, key) for key in _FLIP_KEYS]
    content["init"] = [_weights_hash(config.init.source), config.init.redraw, config.init.freeze]
    if config.init.encoders:
        content["encoders"] = {name: _weights_hash(path) for name, path in config.init.encoders.items()}
    if config.parent is not None:
        content["continue"] = Path(config.parent).name.rpartition("-")[2]  # the parent's own fingerprint
    if config.compute != _AUTO:
        content["compute"] = config.compute.model_dump()
    if health := _health_arguments(config):
        content["health"] = health
    content["targets"] = {
        path: _all_arguments(node, path) for path, node, _ in targets(config) if _affects_result(path)
    }
    text = json.dumps(content, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def run_of(config: Config, data_fingerprint: str, words: Sequence[str]) -> Run:
    """Return the run of this configuration and these data, in the folder of its experiment.

    Args:
        config: checked.
        data_fingerprint: of the data's content.
        words: the arguments of the command, which a new folder is named after.
    """
    parent = Path(config.runs) / config.experiment
    return Run(parent / folder_name(config.name, words, identity(config, data_fingerprint), parent))


def _affects_result(path: str) -> bool:
    return not path.startswith(("logger", "data.source", "health"))


def _health_arguments(config: Config) -> dict[str, Any]:
    """Return the health settings that change training; empty if the monitor only observes."""
    arguments = _all_arguments(config.health, "health")
    acting = changes_training(arguments.get("on_bad"), arguments.get("adaptive_clip"))
    return {name: arguments[name] for name in TRAINING_FIELDS} if acting else {}


def _all_arguments(node: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a target's arguments, defaults included, and a hash of its source if it is the user's own."""
    target = import_target(node["_target_"], path)
    parameters = parameters_of(target).values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    arguments = {**defaults, **node}
    nested = {
        k: _all_arguments(v, path) if _is_target(v) else _stable_value(v)
        for k, v in arguments.items()
        if _is_hashed(k)
    }
    return {**nested, "_source_": code_digest.digest(target)}


def _is_hashed(name: str) -> bool:
    return name not in DISPLAY_ARGUMENTS and not name.startswith("enable_")


def _is_target(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _stable_value(value: Any) -> Any:
    """Convert a value to a form whose JSON is the same in every process."""
    if isinstance(value, float) and value.is_integer():
        return int(value)  # lr=1 equals lr=1.0
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(k): _stable_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_stable_value(v) for v in value]
    return getattr(value, "__qualname__", type(value).__qualname__)


def _weights_hash(weights: str | None) -> str | None:
    """Identify the initial weights: a hash of the file's content, or the name of the run's folder."""
    path = Path(weights or "")
    if weights is None or not (path.is_dir() or path.is_file()):  # a pipe would be read for ever
        return weights
    return path.name if path.is_dir() else hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
