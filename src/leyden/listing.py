"""`leyden list [group] [--config-dir DIR]`: every option of every group, with the line that says what it is.

The line is the first comment of the option's YAML file; options of your own folder or of installed packages are
shown with where they come from.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.config_source import ConfigSource
from rich.table import Table

from leyden.arguments import Arguments
from leyden.compose import config_loader, find_own_code, options
from leyden.console import console
from leyden.errors import UserError, nearest

# The order in which a person composes an experiment.
GROUPS = (
    *("experiment", "data", "data/tokenizer", "split", "long_tail", "sampling", "augment", "model", "head"),
    *("objective", "operating", "optimizer", "schedule", "trainer", "callbacks", "logger", "sweep"),
)


def main(arguments: Sequence[str]) -> int:
    """Print the options of all groups or of one."""
    parser = Arguments(prog="leyden list", description="What there is to choose from.")
    parser.add_argument("group", nargs="?", help=f"one of: {', '.join(GROUPS)}; default: all")
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], help="a folder with options of your own"
    )
    given = parser.parse_args(arguments)
    find_own_code(given.config_dir)
    with config_loader(given.config_dir) as loader:
        groups = _groups(loader)
        if given.group is not None and given.group not in groups:
            raise UserError(f"{given.group}: there is no such group; {nearest(given.group, groups)}")
        for group in [given.group] if given.group else groups:
            console.print(_table(loader, group))
    return 0


def _groups(loader: ConfigLoader) -> list[str]:
    """Leyden's groups in order, then groups that only the user has."""
    found = {g for g in loader.get_group_options("") if options(loader, g) and g != "hydra"}
    return [*GROUPS, *sorted(found - {g.partition("/")[0] for g in GROUPS})]


def _table(loader: ConfigLoader, group: str) -> Table:
    table = Table(
        title=group,
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    for name in options(loader, group):
        origin, line = described(loader, group, name)
        table.add_row(f"  {name}", line, f"({origin})" if origin else "")
    return table


def described(loader: ConfigLoader, group: str, name: str) -> tuple[str, str]:
    """(where an option that is not Leyden's comes from, the first comment of its file)."""
    for source in loader.get_sources():
        for text in _texts(source, f"{group}/{name}.yaml"):
            comments = (line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#"))
            return _origin(source), next((c for c in comments if c and not c.startswith("@package")), "")
    return "", ""


def _origin(source: ConfigSource) -> str:
    """Empty for Leyden's own; the folder of a --config-dir, as seen from here; or the package's entry point."""
    if source.provider == "main":
        return ""
    if source.provider != "command-line":
        return str(source.provider)
    folder = Path(source.path)
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def _texts(source: ConfigSource, path: str) -> Iterator[str]:
    """The text of the option file, if this source of options has it."""
    if source.scheme() not in ("file", "pkg") or not source.is_config(path):
        return
    if source.scheme() == "file":
        with open(f"{source.path}/{path}", encoding="utf-8") as file:  # noqa: PTH123
            yield file.read()
        return
    from importlib.resources import files

    package, _, rest = source.path.partition("/")
    yield files(package).joinpath(rest, *path.split("/")).read_text(encoding="utf-8")
