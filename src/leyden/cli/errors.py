"""`leyden errors RUN`: which rows a finished run gets wrong, and why: tables and CSV.

leyden errors last                                    # by class, the pairs most often confused, the worst rows
leyden errors last --csv errors.csv --split test
leyden errors last --suspects                         # labels that are probably wrong
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.cli.arguments import Arguments, add_run, add_trust
from leyden.runs.lookup import find_run
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.files import write_text

if TYPE_CHECKING:
    from leyden.reporting.atlas.atlas import Atlas


def main(arguments: Sequence[str]) -> int:
    """Print the tables, and write the requested files."""
    given = _parser().parse_intermixed_args(arguments)
    if given.csv:
        _verify_writable(given.csv)
    atlas = _collect(given)
    from leyden.reporting.atlas.table import errors_csv
    from leyden.reporting.atlas.terminal import errors_table

    console.print(errors_table(atlas))
    if given.csv:
        write_text(given.csv, errors_csv(atlas))
        console.print(f"written: {given.csv}")
    return 0


def _parser() -> Arguments:
    parser = Arguments(
        prog="leyden errors", description="Show which rows a finished run gets wrong, and why."
    )
    add_run(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        help="where the run's data lie now: data.source.root=..., data_root=...",
    )
    parser.add_argument("--split", choices=("val", "test"), help="default: val, which is there to choose by")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every error as a line")
    parser.add_argument("--suspects", action="store_true", help="list the rows whose label is probably wrong")
    add_trust(parser)
    return parser


def _collect(given: Namespace) -> "Atlas":
    folder = find_run(given.run, given.runs).folder
    from leyden.utils.runtime import load_torch

    load_torch()
    from leyden.interpretation.atlas import Wanted, collect

    wanted = Wanted(
        given.split, suspects=given.suspects, overrides=given.overrides, config_dirs=given.config_dir
    )
    return collect(folder, wanted)


def _verify_writable(path: Path) -> None:
    """Refuse a file that cannot be written before anything is computed."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        wrong = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UserError(f"{path}: {wrong}; give a file in an existing folder")
