"""The names of a target's arguments, read from its source and never imported: a prompt must not wait for torch.

    argument_names("torch.optim.SGD")      # ["params", "lr", "momentum", ...]

What `signatures.parameters_of` finds by importing; source that does not say it plainly gives fewer names.
"""

import ast
import functools
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from leyden.utils import own_code

Definition = ast.ClassDef | ast.FunctionDef


class Module(NamedTuple):
    """A module's name and its source, parsed; of a package, that of its `__init__.py`."""

    name: str
    tree: ast.Module
    is_package: bool


def argument_names(target: str) -> list[str]:
    """The arguments of the class or function of a dotted name, in order; none where its source is not found."""
    module, _, name = target.rpartition(".")
    own_code.allow(module)
    return list(dict.fromkeys(_names_of(module, name, frozenset())))


@functools.lru_cache(256)
def _read(name: str) -> Module | None:
    """A module that is found without importing the packages it lies in; None: there is no source of it."""
    first, *rest = name.split(".")
    spec, path = (find_spec(first) if first else None), first
    for part in rest:
        path = f"{path}.{part}"
        places = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(path, places) if places else None
    if spec is None or not str(spec.origin).endswith(".py"):
        return None
    text = Path(str(spec.origin)).read_text(encoding="utf-8")
    return Module(name, ast.parse(text), spec.submodule_search_locations is not None)


def _names_of(module: str, name: str, seen: frozenset[tuple[str, str]]) -> Iterator[str]:
    """The arguments of what `name` is in a module, found through the imports that bring it there."""
    source = _read(module)
    if source is None or (module, name) in seen:
        return
    seen |= {(module, name)}
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            yield from _arguments(node)
        elif isinstance(node, ast.ClassDef) and node.name == name:
            yield from _constructor_arguments(module, node, seen)
        elif isinstance(node, ast.ImportFrom):
            for original in (alias.name for alias in node.names if (alias.asname or alias.name) == name):
                yield from _names_of(_imported_module(source, node), original, seen)


def _imported_module(source: Module, node: ast.ImportFrom) -> str:
    """The module that a `from` statement names, a relative one as seen from the module that holds it."""
    parts = source.name.split(".")
    above = parts[: len(parts) - node.level + source.is_package] if node.level else []
    return ".".join([*above, *filter(None, [node.module])])


def _constructor_arguments(
    module: str, node: ast.ClassDef, seen: frozenset[tuple[str, str]]
) -> Iterator[str]:
    """Those of a class's own constructor; and of its parents', without one or where it hands on its **kwargs."""
    constructors = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    constructor = next(constructors, None)
    if constructor is not None:
        yield from _arguments(constructor)[1:]
        if constructor.args.kwarg is None:
            return
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id != "NamedTuple":
            yield from _names_of(module, base.id, seen)
    if constructor is None and _has_fields(node):
        yield from _fields(node)


def _arguments(node: ast.FunctionDef) -> list[str]:
    given = node.args
    return [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def _has_fields(node: ast.ClassDef) -> bool:
    """Whether it is a dataclass or a NamedTuple, whose constructor is made of its fields."""
    words = [ast.unparse(word).partition("(")[0] for word in (*node.decorator_list, *node.bases)]
    return any(word.rpartition(".")[2] in ("dataclass", "NamedTuple") for word in words)


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for line in (part for part in node.body if isinstance(part, ast.AnnAssign)):
        if isinstance(line.target, ast.Name) and "ClassVar" not in ast.unparse(line.annotation):
            yield line.target.id
