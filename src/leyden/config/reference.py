"""An option and its arguments, read from its YAML and from the signatures that it names.

    with config_loader() as loader:
        for argument in describe_option(loader, "loss", "focal").arguments:
            print(argument.name, argument.type, argument.default, argument.meaning)

Targets are imported when they are asked for; nothing heavy is before.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from fnmatch import fnmatchcase
from inspect import Parameter
from typing import Any, get_type_hints

import yaml
from hydra import compose as hydra_compose
from hydra.core.config_loader import ConfigLoader
from omegaconf import OmegaConf
from pydantic import BaseModel

from leyden.config.compose import config_loader, options
from leyden.config.docstrings import explain
from leyden.config.options import GROUPS, OptionFile, find_option
from leyden.config.schema import Config
from leyden.config.signatures import RANGES, hints_of, parameters_of
from leyden.config.type_words import describe_default, describe_type
from leyden.config.validate import PROVIDED, import_target, provided_at

Schemas = Mapping[str, type[BaseModel]]  # the keys that a group has besides its targets


@dataclass(frozen=True)
class Argument:
    """One argument, all in words: its name as one types it, what it takes, its default, what it is for ("": unsaid).

    is_set says whether the option's YAML gives the default, and not a signature.
    """

    name: str
    type: str
    default: str
    meaning: str = ""
    is_set: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Option:
    """An option of a group.

    Args:
        group: as one types it, data/tokenizer.
        name: the option's.
        file: its YAML file.
        arguments: those that can be set, in the order of the file and of the signatures.
        targets: path of each target -> its full name.
        filled: path of a target -> the arguments that Leyden gives it, which nobody sets.
    """

    group: str
    name: str
    file: OptionFile
    arguments: tuple[Argument, ...]
    targets: Mapping[str, str]
    filled: Mapping[str, tuple[str, ...]]

    @property
    def filled_lines(self) -> list[str]:
        """What Leyden fills in, a line for each target; its path is said where there are several."""
        several = len(self.filled) > 1
        return [
            f"filled in{f' ({path})' if several else ''}: {', '.join(names)}"
            for path, names in self.filled.items()
        ]


def describe_option(loader: ConfigLoader, group: str, name: str, schemas: Schemas | None = None) -> Option:
    """What an option of a group is and what can be set.

    Args:
        loader: inside the block of `config_loader`.
        group: data/tokenizer.
        name: word.
        schemas: of groups whose keys are checked elsewhere than in `Config`.

    Raises:
        UserError: there is no such option, it does not compose, or a target of it cannot be imported.
    """
    file = find_option(loader, group, name)
    if file.is_global:
        return Option(group, name, file, tuple(_settings(file)), {}, {})
    plain: Any = OmegaConf.to_container(hydra_compose(f"{group}/{name}"), resolve=False)
    path, node = _at_group(plain, group)
    schema = {**_schemas_of_config(), **(schemas or {})}.get(group)
    reader = _Reader(file)
    found = tuple(reader.branch(path, node, schema))
    return Option(group, name, file, found, reader.targets, reader.filled)


def describe_groups(schemas: Schemas | None = None) -> dict[str, list[Option]]:
    """Group -> each of Leyden's own options, groups in order. schemas: as for `describe_option`."""
    with config_loader() as loader:
        return {
            group: [
                describe_option(loader, group, name, schemas)
                for name in options(loader, group)
                if not find_option(loader, group, name).origin
            ]
            for group in GROUPS
        }


def _schemas_of_config() -> dict[str, type[BaseModel]]:
    found = {name: info.annotation for name, info in Config.model_fields.items()}
    return {n: a for n, a in found.items() if isinstance(a, type) and issubclass(a, BaseModel)}


def _at_group(plain: Mapping[str, Any], group: str) -> tuple[str, Mapping[str, Any]]:
    """(path, node) of a group in an option composed alone; of one that is put elsewhere, the whole."""
    node: Any = plain
    for key in group.split("/"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return (group.replace("/", "."), node) if isinstance(node, Mapping) else ("", plain)


def _settings(file: OptionFile) -> Iterator[Argument]:
    """What an experiment chooses and sets: each as an argument whose default it is."""
    plain = yaml.safe_load(file.text) or {}
    for entry in (entry for entry in plain.pop("defaults", ()) if entry != "_self_"):
        for key, choice in entry.items() if isinstance(entry, dict) else [("experiment", entry)]:
            name = key.removeprefix("override ").lstrip("/")
            yield Argument(name, "", describe_default(choice), is_set=True)
    for key, value in _leaves("", plain):
        yield Argument(key, "", describe_default(value), _comment_of(file, key), is_set=True)


def _leaves(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(_join(path, key), value)
        else:
            yield _join(path, key), value


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _comment_of(file: OptionFile, name: str) -> str:
    """The comment behind a key of the YAML, if the key stands in it once."""
    key = re.escape(name.rpartition(".")[2])
    lines = re.findall(rf"^\s*{key}:(?:\s.*?)?(?:\s#\s+(.*))?$", file.text, re.MULTILINE)
    return lines[0] if len(lines) == 1 else ""


def _of_default_task(target: str) -> str:
    """A target that a task chooses (`${task.module}`), as classification chooses it; any other as it is."""
    if not target.startswith("${task."):
        return target
    return str(OmegaConf.select(hydra_compose("task/classification"), target[2:-1]))


class _Reader:
    """Goes through the node of an option; keeps its targets and what is filled in."""

    def __init__(self, file: OptionFile) -> None:
        self.file = file
        self.targets: dict[str, str] = {}
        self.filled: dict[str, tuple[str, ...]] = {}

    def branch(
        self, path: str, node: Mapping[str, Any], schema: type[BaseModel] | None = None
    ) -> Iterator[Argument]:
        """The arguments of a node: those of its target; without one, its keys and the targets below."""
        if "_target_" in node:
            yield from self._target(path, node)
            return
        defaults, hints = _fields_of(schema)
        for key, value in {**defaults, **node}.items():
            if _holds_target(value):
                yield from self.branch(_join(path, key), value)
            elif not _is_place_of_target(_join(path, key)):
                hint = hints.get(key, Parameter.empty)
                yield self._argument(_join(path, key), value, hint, schema, key in node)

    def _target(self, path: str, node: Mapping[str, Any]) -> Iterator[Argument]:
        target = import_target(_of_default_task(node["_target_"]), path)
        self.targets[path] = str(node["_target_"])
        parameters = parameters_of(target)
        hints = {**hints_of(target), **RANGES.get(path, {})}
        taken = tuple(name for name in parameters if name in provided_at(path))
        if taken:
            self.filled[path] = taken
        free = {n: _default_of(target, p) for n, p in parameters.items() if _is_named(p) and n not in taken}
        given = {n: v for n, v in node.items() if not n.startswith("_")}
        for name, value in {**free, **given}.items():
            place, hint = f"{path}.{name}", hints.get(name, Parameter.empty)
            if isinstance(value, Mapping) and "_target_" in value:
                inner = str(value["_target_"]).rpartition(".")[2]
                yield Argument(place, describe_type(hint), inner, explain(target, name), is_set=True)
                yield from self._target(place, value)
            else:
                yield self._argument(place, value, hint, target, name in given)

    def _argument(
        self, path: str, value: Any, hint: Any, owner: Callable[..., Any] | None, is_set: bool
    ) -> Argument:
        said = explain(owner, path.rpartition(".")[2]) if owner is not None else ""
        meaning = said or _comment_of(self.file, path)
        return Argument(path, describe_type(hint), describe_default(value), meaning, is_set)


def _is_place_of_target(path: str) -> bool:
    """Whether a target may stand there, though none does: no value that one sets."""
    return any(fnmatchcase(path, pattern) for pattern in PROVIDED)


def _is_named(parameter: Parameter) -> bool:
    return parameter.kind is not Parameter.VAR_KEYWORD


def _holds_target(value: Any) -> bool:
    return isinstance(value, Mapping) and ("_target_" in value or any(map(_holds_target, value.values())))


def _fields_of(schema: type[BaseModel] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(defaults, annotations) of a schema's fields, by the names that YAML has for them."""
    if schema is None:
        return {}, {}
    hints = get_type_hints(schema, include_extras=True)
    known = [(name, info.alias or name, info) for name, info in schema.model_fields.items()]
    defaults = {
        alias: Parameter.empty if info.is_required() else info.get_default(call_default_factory=True)
        for _, alias, info in known
    }
    return defaults, {alias: hints[name] for name, alias, _ in known}


def _default_of(target: Callable[..., Any], parameter: Parameter) -> Any:
    """The default of an argument; what a dataclass makes anew each time, made once."""
    made = {f.name: f.default_factory for f in fields(target)} if is_dataclass(target) else {}
    factory = made.get(parameter.name, MISSING)
    return parameter.default if factory is MISSING else factory()
