"""Folders in which a user's own code is looked for, and for nothing but the names that a configuration asks for.

    add([Path.cwd()])
    allow("my_net")         # `import my_net` finds my_net.py there, and what my_net.py imports from there

On `sys.path` itself the working folder, often one of data that somebody else made, would be searched for every module
that some library tries to import and does without where it is missing, and for plugins of Hydra's. So it stands there
under a name that no folder can have, which only the finder below understands. As part of `sys.path` it reaches worker
processes and the other ranks of a run without further ado.
"""

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from leyden.utils.code_digest import files_of

_PREFIX = "/dev/null/leyden-own-code"  # nothing can lie below a device

_names: set[str] = set()  # first parts of modules that may be found


def add(folders: Iterable[Path], first: bool = False) -> None:
    """Look in these folders, after everything that is installed. first: and before the folders there are."""
    added = [f"{_PREFIX}{folder.resolve()}" for folder in folders]
    there = [entry for entry in sys.path if entry.startswith(_PREFIX)]
    installed = [entry for entry in sys.path if entry not in there]
    own = [*added, *there] if first else [*there, *added]
    sys.path[:] = [*installed, *dict.fromkeys(own)]


def folders() -> list[Path]:
    """The folders that are looked in."""
    return [Path(entry.removeprefix(_PREFIX)) for entry in sys.path if entry.startswith(_PREFIX)]


def allow(module: str) -> None:
    """Let a module be found, by its dotted name, and whatever its files import from these folders; imports nothing."""
    if module in sys.modules:
        return
    _names.add(module.partition(".")[0])
    found = files_of(module, folders())
    _names.update(path.relative_to(root).parts[0].removesuffix(".py") for path, root in found.items())


class _Finder:
    """Finds, for one entry of `sys.path`, the modules that are allowed."""

    def __init__(self, entry: str) -> None:
        if not entry.startswith(_PREFIX):
            raise ImportError(entry)  # as the import system asks of a hook: not mine
        self._folder = entry.removeprefix(_PREFIX)

    def find_spec(self, name: str, target: object = None) -> ModuleSpec | None:
        """As the import system asks."""
        return PathFinder.find_spec(name, [self._folder]) if name in _names else None


sys.path_hooks.append(_Finder)
for _entry in [entry for entry in sys.path_importer_cache if entry.startswith(_PREFIX)]:
    del sys.path_importer_cache[_entry]  # of a process that was given such a path before it imported this
