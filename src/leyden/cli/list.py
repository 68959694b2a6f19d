"""`leyden list [group [option]] [--config-dir DIR]`: list the options of all groups, or one option's arguments.

The description is the first comment of the option's YAML file; options of your own folders or of installed packages
are listed with their origin. Of a single option all arguments are listed, as they are typed:

    leyden list loss focal
    leyden list model my_net --config-dir my_lab/conf
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leyden.cli.arguments import Arguments
from leyden.config.compose import config_loader, find_own_code, options
from leyden.config.options import GROUPS, describe, groups_of
from leyden.config.schema import nearest_key
from leyden.reporting.terminal.layout import WholeTable, text
from leyden.tuning.settings import Settings
from leyden.utils.console import console
from leyden.utils.errors import UserError

if TYPE_CHECKING:
    from leyden.config.reference import Option

SCHEMAS = {"sweep": Settings}  # of groups that are no part of a run's configuration


def main(arguments: Sequence[str]) -> int:
    """Print the options of all groups or of one, or the arguments of one option."""
    parser = Arguments(prog="leyden list", description="List the options of the configuration groups.")
    parser.add_argument("group", nargs="?", help=f"one of: {', '.join(GROUPS)}; default: all")
    parser.add_argument("option", nargs="?", help="an option of the group: show its arguments")
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], help="a folder with your own options"
    )
    given = parser.parse_intermixed_args(arguments)
    find_own_code(given.config_dir)
    with config_loader(given.config_dir) as loader:
        groups = groups_of(loader)
        if given.group is not None and given.group not in groups:
            raise UserError(f"{given.group}: there is no such group; {nearest_key(given.group, groups)}")
        if given.option is not None:
            _print_option(_read(loader, given.group, given.option))
            return 0
        for group in [given.group] if given.group else groups:
            console.print(_options_table(loader, group))
    return 0


def _options_table(loader: Any, group: str) -> WholeTable:
    table = WholeTable(
        title=text(group),
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column(no_wrap=True)
    for name in options(loader, group):
        origin, line = describe(loader, group, name)
        table.add_row(text(f"  {name}"), text(line), text(f"({origin})" if origin else ""))
    return table


def _read(loader: Any, group: str, name: str) -> "Option":
    from leyden.config.reference import describe_option
    from leyden.utils.runtime import gc_paused

    with gc_paused():  # most options import torch
        return describe_option(loader, group, name, SCHEMAS)


def _print_option(option: "Option") -> None:
    """The comments of an option's file, the file, a row for each argument, and what is filled in."""
    from leyden.reporting.terminal.option_page import arguments_table

    for line in [*option.file.comments, f"({option.file.path})"]:
        console.print(line)
    if option.arguments:
        console.print(arguments_table(option.arguments))
    else:
        console.print("It takes no arguments.")
    for line in option.filled_lines:
        console.print(line)
