"""Hashes of unversioned code: the source files of a user's own targets are part of a run's fingerprint."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Their versions are recorded in the manifest.
_VERSIONED = ("leyden", "torch", "torchvision", "lightning")
_INSTALLED = ("site-packages", "dist-packages")


def digest(target: Callable[..., Any]) -> str:
    """Hash the file that defines `target` and, transitively, the files of the same folder tree that it imports.

    For an installed package only the defining file is hashed.

    Returns:
        16 hex digits; "" for targets of Leyden and its main dependencies, and for targets without Python source.
        Paths are hashed relative to the import root, so moving the folder does not change the hash.
    """
    module = inspect.getmodule(target)
    file = Path(getattr(module, "__file__", None) or "")
    if module is None or module.__name__.partition(".")[0] in _VERSIONED or file.suffix != ".py":
        return ""
    root = file.parents[module.__name__.count(".") + (file.name == "__init__.py")]
    files = {file: root} if set(_INSTALLED) & set(file.parts) else _with_imports({file: root}, [root])
    return _digest_of(files)


def digest_in(module: str, folders: Sequence[Path]) -> str:
    """Hash what `files_of` finds: as `digest`, of a module that need not be imported; "" where there is none."""
    files = files_of(module, folders)
    return _digest_of(files) if files else ""


def _digest_of(files: Mapping[Path, Path]) -> str:
    content = hashlib.blake2b(digest_size=8)
    for path, root in sorted(files.items()):
        content.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return content.hexdigest()


def files_of(module: str, folders: Sequence[Path]) -> dict[Path, Path]:
    """The files of a module and of the packages that it lies in, and every file of `folders` that they import.

    Nothing is imported. Of several folders that have a module, the first counts.

    Args:
        module: its dotted name.
        folders: those that top-level modules are looked up in.

    Returns:
        For each file the folder that it was found in; empty if the module is in none of them.
    """
    parts = module.split(".")
    for folder in folders:
        if own := list(_module_files(folder, parts)):
            packages = (folder.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts)))
            return _with_imports({p: folder for p in (*own, *filter(Path.is_file, packages))}, folders)
    return {}


def _with_imports(start: Mapping[Path, Path], folders: Sequence[Path]) -> dict[Path, Path]:
    """Return these files and every file below `folders` that they import, directly or indirectly, at any level."""
    found, waiting = dict(start), list(start)
    while waiting:
        file = waiting.pop()
        for path, folder in _imports_of(file, found[file], folders):
            if path not in found:
                found[path] = folder
                waiting.append(path)
    return found


def _imports_of(file: Path, folder: Path, folders: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Parse the source rather than inspect loaded modules, so that lazy imports are included."""
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Import):
            names, level = [alias.name for alias in node.names], 0
        elif isinstance(node, ast.ImportFrom):
            names, level = [f"{node.module or ''}.{alias.name}" for alias in node.names], node.level
            names.append(node.module or "")
        else:
            continue
        bases = {file.parents[level - 1]: folder} if level else {each: each for each in folders}
        for name in names:
            for base, owner in bases.items():
                paths = _module_files(base, list(filter(None, name.split("."))))
                yield from ((path, owner) for path in paths if path.is_relative_to(owner))


def _parsed(file: Path) -> ast.AST:
    """The source, parsed; of a file that is no Python, which importing it will say, nothing."""
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _module_files(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """The files that a module of this name has in a folder: its own, or the `__init__` of a package."""
    place = folder.joinpath(*parts)
    yield from (p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file())
