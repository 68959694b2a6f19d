"""The groups of options and the file that each option is: Leyden's and the user's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigSource

from leyden.config.compose import conf_dir, options
from leyden.utils.errors import UserError, nearest


class OptionFile(NamedTuple):
    """The YAML file of an option.

    origin is empty for Leyden's own, else the folder of a --config-dir as seen from here, or the entry point of an
    installed package; path is the file, as seen from here, or in its package.
    """

    origin: str
    path: str
    text: str

    @property
    def comments(self) -> list[str]:
        """What the comments of whole lines say; the first says what the option is."""
        lines = (line.lstrip("# ").strip() for line in self.text.splitlines() if line.startswith("#"))
        return [line for line in lines if line and not line.startswith("@package")]

    @property
    def is_global(self) -> bool:
        """Whether it sets keys of the whole configuration, as an experiment does."""
        return any(line.startswith("# @package _global_") for line in self.text.splitlines())


def ordered_groups(conf: Path) -> list[str]:
    """The groups of a folder of options in the order in which a person composes an experiment.

    First experiments, which choose all else; then the groups as config.yaml lists them, each with the groups inside
    it; then those that it does not list.
    """
    root = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    named = [key for entry in root["defaults"] if isinstance(entry, dict) for key in entry]
    folders = sorted({path.parent.relative_to(conf).as_posix() for path in conf.rglob("*/*.yaml")})
    order = ["experiment", *(name for name in named if name != "experiment"), *folders]
    inside = (folder for name in order for folder in folders if f"{folder}/".startswith(f"{name}/"))
    return [group for group in dict.fromkeys(inside) if group.partition("/")[0] != "hydra"]


GROUPS = tuple(ordered_groups(conf_dir()))


def groups_of(loader: ConfigLoader) -> list[str]:
    """Leyden's groups in order, then groups that only the user has."""
    found = {g for g in loader.get_group_options("", ObjectType.GROUP) if options(loader, g) and g != "hydra"}
    return [*GROUPS, *sorted(found - {g.partition("/")[0] for g in GROUPS})]


def describe(loader: ConfigLoader, group: str, name: str) -> tuple[str, str]:
    """(where an option that is not Leyden's comes from, the first comment of its file)."""
    file = find_option(loader, group, name)
    return file.origin, next(iter(file.comments), "")


def find_option(loader: ConfigLoader, group: str, name: str) -> OptionFile:
    """The file of an option.

    Raises:
        UserError: the group has no such option.
    """
    known = options(loader, group)
    for source in loader.get_sources() if name in known else ():
        for path, text in _files(source, f"{group}/{name}.yaml"):
            return OptionFile(_origin(source), path, text)
    raise UserError(f"{group}={name}: there is no such option; {nearest(name, known)}")


def _origin(source: ConfigSource) -> str:
    """Return "" for Leyden's own; the folder of a --config-dir, relative if possible; or a package's entry point."""
    if source.provider == "main":
        return ""
    return _from_here(source.path) if source.provider == "command-line" else str(source.provider)


def _from_here(path: str) -> str:
    return str(Path(path).relative_to(Path.cwd()) if Path(path).is_relative_to(Path.cwd()) else path)


def _files(source: ConfigSource, path: str) -> Iterator[tuple[str, str]]:
    """(path, text) of the option file, if this source of options has it."""
    if source.scheme() not in ("file", "pkg") or not source.is_config(path):
        return
    if source.scheme() == "file":
        file = Path(source.path) / path
        yield _from_here(str(file)), file.read_text(encoding="utf-8")
        return
    from importlib.resources import files

    package, _, rest = source.path.partition("/")
    yield f"{source.path}/{path}", files(package).joinpath(rest, *path.split("/")).read_text(encoding="utf-8")
