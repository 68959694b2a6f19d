"""Argument parsers of the commands that do not use Hydra's command line; parse errors are UserErrors."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from leyden.config.compose import key_for_flag
from leyden.config.overrides import format_parser_error
from leyden.runs.lookup import RUNS
from leyden.utils.errors import UserError
from leyden.utils.trust import FLAG, HELP

RUN = "a run's folder, a glob, its fingerprint, its folder's name, a prefix of one of these, or last"
PICTURES = (".png", ".svg", ".pdf")


class Arguments(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, and suggests the nearest flag for an unknown one."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError instead of printing the usage and exiting."""
        takes_keys = any(action.dest == "overrides" for action in self._actions)
        said = (key_for_flag(message) if takes_keys else "") or format_parser_error(self, message)
        raise UserError(f"{said}; see `{self.prog} --help`")


def config_parser(prog: str, description: str, *, json: str = "", picture: str = "") -> Arguments:
    """Create the parser of a command that takes the arguments of `leyden train`: `overrides` and `config_dir`.

    json, picture: what the flags --json and --picture output, for their help; empty: no such flag.
    """
    parser = Arguments(prog=prog, description=description)
    parser.add_argument("overrides", nargs="*", default=[], help="key=value, as for leyden train")
    add_trust(parser)
    if json:
        parser.add_argument("--json", action="store_true", help=f"print {json} as JSON")
    if picture:
        formats = f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        parser.add_argument("--picture", type=Path, help=f"plot {picture} to this file ({formats})")
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that reads one run, `run` and `runs`: what `find_run` takes."""
    parser.add_argument("run", metavar="RUN", help=RUN)
    add_runs_folder(parser)


def add_runs_folder(parser: argparse.ArgumentParser) -> None:
    """Add the flag --runs, the folder in which runs are looked up."""
    parser.add_argument(
        "--runs", type=Path, default=RUNS, metavar="FOLDER", help=f"folder of the runs (default: {RUNS})"
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the flags --config-dir and --trust of a command that may need code; `leyden.cli.main` obeys the latter."""
    parser.add_argument(
        "--config-dir",
        "-cd",
        action="append",
        default=[],
        help="a folder of options; the code beside it is used",
    )
    parser.add_argument(FLAG, action="store_true", help=HELP)


def train_command(given: argparse.Namespace) -> list[str]:
    """Return the command that trains the configuration of the parsed arguments."""
    flags = [*([FLAG] if given.trust else []), *(f"--config-dir={folder}" for folder in given.config_dir)]
    return ["leyden", "train", *flags, *given.overrides]


def confirm(question: str, yes: bool) -> bool:
    """Ask for confirmation on the terminal, unless `yes`.

    Raises:
        UserError: stdin is not a terminal.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError("nothing removed: no terminal for the confirmation; use --yes to remove without it")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def of_input(path: Path, name: str) -> Path:
    """The file of one of several inputs beside that of --picture: maps.png -> maps-image.png; "": the file itself."""
    return path.with_stem(f"{path.stem}-{name}") if name else path


def figure_saver(path: Path | None) -> Callable[..., None] | None:
    """Return save(figure[, file]), for the path of --picture or another file; None if `path` is None.

    Raises:
        UserError: the file's extension is not supported; when called: the file cannot be written.
    """
    if path is None:
        return None
    if path.suffix not in PICTURES:
        raise UserError(
            f"--picture {path}: the name must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        )

    def save(figure: Any, file: Path = path) -> None:
        try:
            figure.savefig(file)
        except OSError as error:
            raise UserError(f"--picture {file}: {error.strerror}") from error

    return save


def verify_writable(path: Path) -> None:
    """Refuse a file that cannot be written before anything is computed."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        wrong = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UserError(f"{path}: {wrong}; give a file in an existing folder")
