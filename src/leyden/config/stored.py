"""What a configuration that lies in a run's folder may do, where neither its maker is known nor `--trust` was said.

    check_stored(plain, Stored(folder, code=(Path("my_lab"),)))

Targets are classes of Leyden and its main dependencies that fit their place (`leyden.config.kinds`), or code of
packages with an entry point `leyden.conf` and of folders that are given now. Paths are not followed. Nothing is
resolved: an interpolation is a text. docs/security.md says why.
"""

import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from leyden.config.kinds import KINDS, Kind, fits_kind
from leyden.config.schema import Config
from leyden.config.signatures import as_typed, hints_of
from leyden.config.validate import arguments_of, check, every_target, import_target, typed
from leyden.utils.code_digest import files_of
from leyden.utils.errors import UserError
from leyden.utils.trust import FLAG

_LEYDEN = __package__.partition(".")[0]

# Arguments that name a file, a folder or an address, whatever their annotation.
_NAMES = {
    "path",
    "paths",
    "file",
    "files",
    "filename",
    "folder",
    "folders",
    "dir",
    "directory",
    "root",
    "csv",
    "url",
}
_ENDINGS = ("_path", "_file", "_filename", "_folder", "_dir", "_root", "_url", "_uri", "dirpath", "filepath")
_LOOKS = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|\w+://|(.*[/\\])?\.\.([/\\]|$)")  # at the beginning of a value


@dataclass(frozen=True)
class Stored:
    """A run's folder whose maker is not known, and what the user has typed now.

    Attributes:
        folder: of the run.
        code: folders of code that are given now, by --config-dir.
        typed: keys of the configuration that are given now; what lies below them is the user's.
        opens_data: whether the source of the data is made, and not only asked what kind of inputs it has.
        remark: more to say where something is refused.
    """

    folder: Path
    code: tuple[Path, ...] = ()
    typed: tuple[str, ...] = ()
    opens_data: bool = True
    remark: str = ""

    def verify(self, place: str, path: str, node: Mapping[str, Any]) -> None:
        """Refuse a target that is not among those described above, before it is imported, and its paths.

        Args:
            place: that it stands at, as in `KINDS`, or within which.
            path: of the node.
            node: with its target.

        Raises:
            UserError: with what was refused, and what to type.
        """
        hints: Mapping[str, Any] = {}
        if not self._is_typed(f"{path}._target_"):
            target = self._verify_target(KINDS[place], path, str(node.get("_target_")))
            hints = hints_of(target)
        if place == "data.source" and not self.opens_data:
            return
        for name, value in arguments_of(path, node).items():
            if self._is_typed(f"{path}.{name}"):
                continue
            for text in _texts(value):
                if _is_path(name, hints.get(name), text):
                    raise UserError(
                        f"{path}.{name}={as_typed(text)}: {self.folder} was not made by you, and the paths in its "
                        f"configuration are not followed: add {path}.{name}=..., or {FLAG} if you trust it{self.remark}"
                    )

    def _is_typed(self, key: str) -> bool:
        return any(f"{key}.".startswith(f"{given}.") for given in self.typed)

    def _verify_target(self, kind: Kind, path: str, name: str) -> Any:
        module = name.rpartition(".")[0]
        if _is_within(module, kind.roots):
            target = import_target(name, path)
            if _is_of_library(target, kind) and fits_kind(target, kind):
                return target
        elif _is_within(module, _packages()) or files_of(module, self.code):
            target = import_target(name, path)
            if self._is_given(target):
                return target
        raise UserError(
            f"{path}._target_={name}: {self.folder} was not made by you, and this is neither one of the classes "
            "that its configuration may name here nor code that you have given: add --config-dir FOLDER with that "
            f"code's options, or {FLAG} if you trust it{self.remark}"
        )

    def _is_given(self, target: Any) -> bool:
        """Whether it is defined in a package with options or a folder of now, and not only imported there."""
        module = str(getattr(target, "__module__", ""))
        file = Path(getattr(sys.modules.get(module), "__file__", None) or "/")
        return _is_within(module, _packages()) or any(map(file.is_relative_to, self.code))


def default_cache() -> str:
    """The folder of columns, as in conf/config.yaml: the user's, whatever a stored configuration says."""
    return os.environ.get("LEYDEN_CACHE") or "~/.cache/leyden"


def check_stored(plain: Mapping[str, Any], stored: Stored) -> Config:
    """Check a stored configuration, as `leyden.config.validate.check`, and hold it to what it may do.

    Raises:
        UserError: it names something that it may not, or is not valid.
    """
    for place, path, node in every_target(typed(plain)):
        stored.verify(place, path, node)
    return check(plain)


def _is_within(module: str, roots: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{root}.") for root in roots)


def _packages() -> tuple[str, ...]:
    """The packages that are installed with options of their own."""
    return tuple(point.value.partition(".")[0] for point in entry_points(group=f"{_LEYDEN}.conf"))


def _is_of_library(target: Any, kind: Kind) -> bool:
    """Whether it is a class of a library, and not one that can merely be reached through it; a function of Leyden's."""
    package = str(getattr(target, "__module__", "")).partition(".")[0]
    is_known = package in {root.partition(".")[0] for each in KINDS.values() for root in each.roots}
    return is_known and (inspect.isclass(target) or kind.is_function or package == _LEYDEN)


def _texts(value: Any) -> Iterator[Any]:
    """The values in an argument that are no container, none of a target in it."""
    if isinstance(value, Mapping):
        for part in () if "_target_" in value else value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif value is not None and not isinstance(value, bool):
        yield value


def _is_path(name: str, hint: Any, value: Any) -> bool:
    """Whether a value names a file, a folder or an address: by its argument's name or annotation, or as it looks."""
    named = name in _NAMES or name.endswith(_ENDINGS) or re.search(r"\bPath(Like)?\b", str(hint)) is not None
    return named or (isinstance(value, str) and _LOOKS.match(value) is not None)
