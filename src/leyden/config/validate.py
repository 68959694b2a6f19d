"""Validation of a whole configuration before any work: names, types, ranges, signatures, modality.

`check(plain)` returns the typed `Config` or raises one UserError that names the key and what to type instead.
Every `_target_` is imported and its arguments are bound to its signature, so that a misspelt argument fails here
rather than, with `_partial_`, when the target is called. Takes well under a second once torch is imported.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from leyden.config.kinds import KINDS, verify_kind
from leyden.config.schema import Config
from leyden.config.signatures import RANGES, hints_of, parameters_of, verify_type
from leyden.config.suggestions import UnknownKey, typed_keys
from leyden.config.typed_config import as_config, typed_value
from leyden.data.spec import FACTS
from leyden.utils import own_code
from leyden.utils.errors import UserError, nearest

# Arguments that `build` provides by parameter name, by path of the target. A trailing * is any key of a mapping.
FRONTEND_FACTS = ("bins",)
PROVIDED: dict[str, tuple[str, ...]] = {
    "task.target": (),
    "data.source": ("reader",),
    "data.tokenizer": (),
    "split": (),
    "long_tail": (),
    "sampling": (),
    "augment.*": FACTS,
    "model.tokenizer": (),
    "model.frontend": FACTS,
    "model.net": (*FACTS, *FRONTEND_FACTS, "trivial_outputs", "encoders"),
    "model.encoders.*.frontend": FACTS,
    "model.encoders.*.net": (*FACTS, *FRONTEND_FACTS, "trivial_outputs"),
    "head": (),
    "loss": (*FACTS, "epochs"),
    "model.module": (
        *FACTS,
        *("net", "loss", "frontend", "augment", "optimizer", "scheduler", "evaluate", "seed", "monitor"),
        *("total_steps", "steps_per_epoch"),
    ),
    "optimizer": ("params",),
    "scheduler": (),
    "decision": (),
    "health": (),
    "trainer": (
        *("callbacks", "logger", "default_root_dir", "enable_progress_bar", "enable_model_summary"),
        *("enable_checkpointing", "use_distributed_sampler", "num_sanity_val_steps"),
    ),
    "callbacks.*": ("monitor", "higher_is_better", "folder"),
    "logger.*": ("folder", "resumed_step", "monitor"),
}

# Of loggers, filled in where they are not given (`leyden.callbacks.loggers`).
LOGGER_DEFAULTS = ("save_dir", "name", "run_name", "experiment_name", "project", "tracking_uri")

_OF_DATA = (
    *("task.target", "data.source", "data.tokenizer", "model.tokenizer"),
    *("split", "long_tail", "sampling"),
)
_OPTIONAL = ("data.tokenizer", "model.tokenizer", "model.frontend", "model.net", "model.encoders.*.frontend")
EPOCH = "epoch"  # monitor=epoch: the last epoch is used, none is selected by a metric


def check(plain: Mapping[str, Any]) -> Config:
    """Validate a configuration and return it typed.

    Args:
        plain: a composed, resolved configuration, as `compose` returns it.

    Raises:
        UserError: the first error, with its key and the nearest valid choice.
    """
    with _suggestions(plain):
        config = as_config(plain)
        for path, node, provided in targets(config):
            bind(path, node, provided)
    if "max_epochs" not in config.trainer:
        raise UserError("trainer.max_epochs must be given: add trainer.max_epochs=... to the command")
    _verify_metrics(config)
    _verify_modality(config)
    _verify_loss(config)
    _verify_monitor(config)
    return config


def check_data(plain: Mapping[str, Any]) -> Config:
    """Validate the data's part of a configuration and return it typed, for a command that reads only the data.

    The model and its modality are not checked.

    Raises:
        UserError: the first error, with its key and the nearest valid choice.
    """
    with _suggestions(plain):
        config = as_config(plain)
        for path, node, provided in targets(config):
            if path in _OF_DATA:
                bind(path, node, provided)
    return config


def targets(config: Config) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Yield (path, node, names of the arguments that `build` provides) for every target of the configuration."""
    for path, provided in PROVIDED.items():
        for name, node in _values_at(config, path.split(".")):
            if node or path not in _OPTIONAL:
                yield path.replace("*", name), node, provided


def _values_at(node: Any, keys: Sequence[str], name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (what * stands for, value) below a typed node; * is any key of a mapping."""
    if not keys:
        yield name, node
    elif keys[0] == "*":
        for key, part in node.items():
            yield from _values_at(part, keys[1:], key)
    else:
        yield from _values_at(getattr(node, keys[0]), keys[1:], name)


def every_target(config: Config) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (place as in `KINDS`, path, node) of every target, also of those in arguments, which have their place."""
    plain = config.model_dump(by_alias=True)
    for pattern in KINDS:
        for path, found in _nodes_at("", plain, pattern.split(".")):
            yield from _with_inner(pattern, path, found)


def _nodes_at(path: str, node: Any, names: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (path, node) of the mappings at these keys; * is any key."""
    if not names:
        if isinstance(node, Mapping) and node:
            yield path.removeprefix("."), node
        return
    for key, part in node.items() if isinstance(node, Mapping) else ():
        if names[0] in ("*", key):
            yield from _nodes_at(f"{path}.{key}", part, names[1:])


def _with_inner(
    place: str, path: str, node: Mapping[str, Any]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    yield place, path, node
    for name, value in node.items():
        for inner_path, inner in nested_targets(f"{path}.{name}", value):
            yield from _with_inner(place, inner_path, inner)


def provided_at(path: str) -> tuple[str, ...]:
    """The names that build fills in for a target at this path, or inside of one at a path above it."""
    while path:
        for pattern, provided in PROVIDED.items():
            if fnmatchcase(path, pattern):
                return provided
        path = path.rpartition(".")[0]
    return ()


def bind(path: str, node: Mapping[str, Any], provided: tuple[str, ...] = ()) -> None:
    """Check one target: it can be imported and takes these arguments and types, and no required one is missing.

    Raises:
        UserError: it does not; the message names `path`.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        found = ", ".join(node) if isinstance(node, Mapping) else repr(node)
        group = path.partition(".")[0]
        raise UserError(
            f"{path}: expected an option with a _target_, got {found or 'nothing'}: choose one with {group}=... "
            f"(see `leyden list {group}`)"
        )
    target = find_target(path, node)
    given = arguments_of(path, node)
    _verify_names(path, given, parameters_of(target), provided)
    hints = {**hints_of(target), **RANGES.get(path, {})}
    for name, value in given.items():
        inner = list(nested_targets(f"{path}.{name}", value))
        for place, part in inner:
            bind(place, part, provided)
        if not inner and name in hints:
            verify_type(f"{path}.{name}", value, hints[name])


def find_target(path: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    """Import the target of a node and hold it to the kind of its place.

    Raises:
        UserError: it cannot be imported, or is of another kind.
    """
    target = import_target(node["_target_"], path)
    verify_kind(path, str(node["_target_"]), target, bool(node.get("_partial_")))
    return target


def arguments_of(path: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a node, which are those of its target.

    Raises:
        UserError: one is a word of Hydra's that means something else than an argument: `_args_`, `_recursive_`.
    """
    given = {str(k): v for k, v in node.items() if k not in ("_target_", "_partial_")}
    special = next((name for name in given if name[:1] == name[-1:] == "_"), None)
    if special is not None:
        raise UserError(f"{path}.{special}: has no effect in Leyden; give arguments by their names")
    if not isinstance(node.get("_partial_", False), bool):
        raise UserError(f"{path}._partial_={node['_partial_']}: expected true or false")
    return given


def nested_targets(path: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (path, node) of the targets in an argument: itself, or in its lists and mappings; not those in these."""
    if isinstance(value, Mapping) and "_target_" in value:
        yield path, value
    elif isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in items:
            yield from nested_targets(f"{path}.{key}", part)


def import_target(name: str, path: str) -> Callable[..., Any]:
    """Import the class or function of a dotted name.

    Raises:
        UserError: its module or the name in it cannot be found (the nearest is named), or importing it fails.
    """
    module_name, _, attribute = str(name).rpartition(".")
    if not module_name:
        raise UserError(f"{path}._target_={name}: expected the full name of a class, package.module.Name")
    own_code.allow(module_name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise UserError(f"{path}._target_={name}: importing {module_name} fails: {error}") from error
        hint = nearest(module_name, _sibling_modules(module_name))
        raise UserError(f"{path}._target_={name}: there is no module {error.name!r}; {hint}") from error
    except Exception as error:
        raise UserError(f"{path}._target_={name}: importing {module_name} fails: {error!r}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        public = [n for n, v in vars(module).items() if callable(v) and _is_own(v, n, module_name)]
        raise UserError(f"{path}._target_={name}: not found in {module_name}; {nearest(attribute, public)}")
    return found


def _is_own(value: Any, name: str, module: str) -> bool:
    """Whether a module defines this public name itself; imported names are not suggested."""
    return not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(module)


def _sibling_modules(name: str) -> list[str]:
    """Return the modules of the same package as the one that was not found, for the suggestion."""
    parent = name.rpartition(".")[0]
    if not parent:
        return [m.name for m in pkgutil.iter_modules(map(str, own_code.folders()))]
    try:
        package = importlib.import_module(parent)
    except ImportError:
        return []
    return [f"{parent}.{m.name}" for m in pkgutil.iter_modules(getattr(package, "__path__", []))]


@contextmanager
def _suggestions(plain: Mapping[str, Any]) -> Iterator[None]:
    """Name the key of the whole configuration that was meant, where a key does not exist."""
    try:
        yield
    except UnknownKey as error:
        raise UserError(error.message(list(typed_keys(plain, provided_at)))) from None


def typed(plain: Mapping[str, Any]) -> Config:
    """The configuration with its types; its targets are not looked at.

    Raises:
        UserError: an unknown key, or a value of another type.
    """
    with _suggestions(plain):
        return as_config(plain)


def _verify_names(
    path: str,
    given: Mapping[str, Any],
    parameters: Mapping[str, inspect.Parameter],
    provided: tuple[str, ...],
) -> None:
    """Check that every given name is a parameter, none is provided by Leyden, and no required one is missing."""
    free = [n for n, p in parameters.items() if n not in provided and p.kind is not p.VAR_KEYWORD]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())  # none of Leyden's does
    for name in given:
        if name in provided and (name in parameters or not takes_any):
            raise UserError(f"{path}.{name}: this is a fact of the data or provided by Leyden; leave it out")
        if name not in free and not takes_any:
            raise UnknownKey(f"{path}.{name}", typed_value(given[name]), "argument", free)
    filled = LOGGER_DEFAULTS if path.startswith("logger.") else ()
    for name in free:
        if parameters[name].default is inspect.Parameter.empty and name not in (*given, *filled):
            raise UserError(f"{path}.{name} must be given: add {path}.{name}=... to the command")


def _verify_metrics(config: Config) -> None:
    """Each metric of group `metrics` is a function whose first two arguments are scores and targets."""
    for name, metric in config.metrics.items():
        path = f"metrics.{name}.function"
        if "_target_" not in metric.function:
            raise UserError(f"{path}: expected _target_: package.module.function")
        first = list(parameters_of(import_target(metric.function["_target_"], path)))[:2]
        bind(path, metric.function, tuple(first))


def _verify_modality(config: Config) -> None:
    """Check that the data, the model and every augmentation have the same modality."""
    from leyden.data.modalities import modality_of  # with NumPy, which completion at a prompt does without

    source = import_target(config.data.source["_target_"], "data.source")
    modality = modality_of(source)
    data = modality.name
    if _verify_encoders(config, data, modality.is_several):
        return
    parts = {"model": config.model.module, **{f"augment.{k}": v for k, v in config.augment.items()}}
    if config.model.frontend:
        parts["model.frontend"] = config.model.frontend
    for path, node in parts.items():
        target = import_target(node["_target_"], path)
        wanted = getattr(target, "modality", "any")
        if modality.is_discrete and getattr(target, "averages_inputs", False):
            raise UserError(
                f"{path}: not for {data} (data={config.data.name}); leave it out or choose augment=..."
            )
        if wanted not in ("any", data):
            group = path.partition(".")[0]
            name = f"model={config.model.name}" if group == "model" else path
            raise UserError(
                f"data={config.data.name} is {data}, but {name} is for {wanted}: "
                f"choose {group}=... for {data} (see `leyden list {group}`)"
            )
    if modality.needs_tokenizer != (config.data.tokenizer is not None):
        advice = f"{data} needs a tokenizer: add +data/tokenizer=word"
        raise UserError(
            f"data.tokenizer: {advice if modality.needs_tokenizer else f'{data} takes no tokenizer: leave it out'}"
        )


def _verify_encoders(config: Config, modality: str, is_several: bool) -> bool:
    """Whether rows have several inputs, for which the model must have encoders, as it must not for others."""
    net = import_target(config.model.net["_target_"], "model.net") if config.model.net else None
    if is_several and not config.model.encoders and not getattr(net, "reads_nothing", False):
        raise UserError(
            f"data={config.data.name} has several inputs, but model={config.model.name} takes one: choose model=fusion"
        )
    if config.model.encoders and not is_several:
        raise UserError(
            f"data={config.data.name} is {modality}, but model={config.model.name} is for several inputs: "
            f"choose model=... for {modality} (see `leyden list model`)"
        )
    return is_several


def _verify_loss(config: Config) -> None:
    """Check that the loss is for the task; a user's own loss may leave it open."""
    name = config.loss["_target_"]
    wanted = getattr(
        import_target(name, "loss"), "task", "classification" if is_ours(name) else config.task.name
    )
    if is_ours(config.task.target["_target_"]) and wanted != config.task.name:
        raise UserError(
            f"loss: {name.rpartition('.')[2]} is for task={wanted}, this run has task={config.task.name}: choose "
            "loss=auto, or another (`leyden list loss`)"
        )


def _verify_monitor(config: Config) -> None:
    """Check that validation computes the monitored metric; a user's own module may log any name."""
    task = import_target(config.task.target["_target_"], "task.target")
    names = [f"val/{name}" for name in ("loss", *getattr(task, "metrics", ()), *config.metrics)]
    if config.monitor == EPOCH:
        if config.callbacks or config.trial or "Plateau" in config.scheduler["_target_"]:
            raise UserError(
                f"monitor={EPOCH} uses the last epoch as the best; early stopping, scheduler=plateau and a "
                "search need a metric: choose val/accuracy or another one"
            )
    elif is_ours(config.model.module["_target_"]) and config.monitor not in names:
        raise UserError(f"monitor={config.monitor}: {nearest(config.monitor, names)}")


def is_ours(target: str) -> bool:
    """Whether a dotted name belongs to the package leyden."""
    return target.partition(".")[0] == "leyden"
