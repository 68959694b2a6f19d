"""Hashes of unversioned code: the source files of a user's own targets are part of a run's fingerprint."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
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
    content = hashlib.blake2b(digest_size=8)
    for path in sorted({file} if set(_INSTALLED) & set(file.parts) else _with_imports(file, root)):
        content.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return content.hexdigest()


def _with_imports(file: Path, root: Path) -> set[Path]:
    """Return `file` and every file below `root` that it imports, directly or indirectly, at any level."""
    found, waiting = {file}, [file]
    while waiting:
        for path in _imports_of(waiting.pop(), root):
            if path not in found:
                found.add(path)
                waiting.append(path)
    return found


def _imports_of(file: Path, root: Path) -> Iterator[Path]:
    """Parse the source rather than inspect loaded modules, so that lazy imports are included."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            bases, names = [root], [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            bases = [file.parents[node.level - 1] if node.level else root]
            names = [node.module or "", *(f"{node.module or ''}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            place = bases[0].joinpath(*filter(None, name.split(".")))
            yield from (p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file())
