"""The command line of the verbs that are not composed by Hydra; what it cannot read is a UserError, too."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from leyden.config.overrides import format_parser_error
from leyden.utils.errors import UserError

PICTURES = (".png", ".svg", ".pdf")


class Arguments(argparse.ArgumentParser):
    """An ArgumentParser whose error is one message, with the nearest flag for one that does not exist."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError; argparse would print its usage and exit."""
        raise UserError(f"{format_parser_error(self, message)}; `{self.prog} --help` tells more")


def config_parser(prog: str, description: str, *, json: str = "", picture: str = "") -> Arguments:
    """The parser of a verb that takes the words of `leyden train`: `overrides` and `config_dir`.

    json: what --json prints; picture: what --picture draws; empty: there is no such flag.
    """
    parser = Arguments(prog=prog, description=description)
    parser.add_argument("overrides", nargs="*", default=[], help="key=value, as for leyden train")
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], help="a folder with options of your own"
    )
    if json:
        parser.add_argument("--json", action="store_true", help=f"print {json} as JSON")
    if picture:
        formats = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        parser.add_argument("--picture", type=Path, help=f"draw {picture} to this file ({formats})")
    return parser


def train_command(given: argparse.Namespace) -> list[str]:
    """The command that trains that configuration."""
    return ["leyden", "train", *(f"--config-dir={folder}" for folder in given.config_dir), *given.overrides]


def figure_saver(path: Path | None) -> Callable[[Any], None] | None:
    """What saves a matplotlib figure to the path given as --picture; None where none was given.

    Raises:
        UserError: the name's ending is no format that can be written, at once; the file cannot be written, later.
    """
    if path is None:
        return None
    if path.suffix not in PICTURES:
        raise UserError(
            f"--picture {path}: the name must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        )

    def save(figure: Any) -> None:
        try:
            figure.savefig(path)
        except OSError as error:
            raise UserError(f"--picture {path}: {error.strerror}") from error

    return save
