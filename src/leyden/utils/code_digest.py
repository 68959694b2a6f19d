"""Code that no version number names: the files of a user's own targets count in a run's identity."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Their versions stand in the manifest.
_VERSIONED = ("leyden", "torch", "torchvision", "lightning")
_INSTALLED = ("site-packages", "dist-packages")


def digest(target: Callable[..., Any]) -> str:
    """A hash of the file that defines `target` and of the files beside it that it imports, and they in turn.

    Of an installed package, the one file alone. Empty for Leyden's and its main dependencies' targets, and for
    what has no Python source. Paths count relative to the folder that Python finds the module in, so a moved
    folder changes nothing.
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
    """`file` and every file below `root` that it imports, wherever in it, directly or not."""
    found, waiting = {file}, [file]
    while waiting:
        for path in _imported(waiting.pop(), root):
            if path not in found:
                found.add(path)
                waiting.append(path)
    return found


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """Read from the text, not from what is loaded: a lazy import counts before it has happened."""
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
