"""`leyden list [group] [--config-dir DIR]`: list the options of all groups or of one, with a description.

The description is the first comment of the option's YAML file; options of your own folders or of installed packages
are listed with their origin.
"""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from leyden.cli.arguments import Arguments
from leyden.config.compose import config_loader, find_own_code, options
from leyden.config.options import GROUPS, describe, groups_of
from leyden.config.schema import nearest_key
from leyden.utils.console import console
from leyden.utils.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Print the options of all groups or of one."""
    parser = Arguments(prog="leyden list", description="List the options of the configuration groups.")
    parser.add_argument("group", nargs="?", help=f"one of: {', '.join(GROUPS)}; default: all")
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], help="a folder with your own options"
    )
    given = parser.parse_args(arguments)
    find_own_code(given.config_dir)
    with config_loader(given.config_dir) as loader:
        groups = groups_of(loader)
        if given.group is not None and given.group not in groups:
            raise UserError(f"{given.group}: there is no such group; {nearest_key(given.group, groups)}")
        for group in [given.group] if given.group else groups:
            console.print(_table(loader, group))
    return 0


def _table(loader: Any, group: str) -> Table:
    table = Table(
        title=group,
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    for name in options(loader, group):
        origin, line = describe(loader, group, name)
        table.add_row(f"  {name}", line, f"({origin})" if origin else "")
    return table
