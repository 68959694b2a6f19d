"""`leyden errors RUN`: which rows a finished run gets wrong, and why: tables, CSV, an offline page.

leyden errors last                                    # by class, the pairs most often confused, the worst rows
leyden errors last --html errors.html                 # the same rows as pictures, sounds and texts
leyden errors last --csv errors.csv --split test
leyden errors last --against runs/default/other-run   # which errors the other run mended, and which it made
leyden errors last --suspects                         # labels that are probably wrong
"""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.cli.arguments import Arguments, add_run, add_trust, verify_writable
from leyden.runs.lookup import find_run
from leyden.utils.console import console
from leyden.utils.files import write_text

EACH = 20  # errors of each class on a page

if TYPE_CHECKING:
    from leyden.reporting.atlas.atlas import Atlas


def main(arguments: Sequence[str]) -> int:
    """Print the tables, and write the requested files."""
    given = _parser().parse_intermixed_args(arguments)
    for path in filter(None, (given.csv, given.html)):
        verify_writable(path)
    atlas = _collect(given)
    from leyden.reporting.atlas.table import errors_csv, suspects_csv
    from leyden.reporting.atlas.terminal import errors_table

    console.print(errors_table(atlas))
    if given.csv:
        write_text(given.csv, (suspects_csv if given.suspects else errors_csv)(atlas))
        console.print(f"written: {given.csv}")
    if given.html:
        from leyden.reporting.atlas.page import page

        write_text(given.html, page(atlas, given.html.absolute().parent))
        console.print(f"written: {given.html}")
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
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write every error as a line; with --suspects every training row",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write an offline page with the samples")
    parser.add_argument(
        "--each",
        type=_number,
        default=EACH,
        metavar="N",
        help="errors of each class on the page (default: %(default)s)",
    )
    parser.add_argument(
        "--heat",
        type=_heat,
        default=EACH,
        metavar="all|N|none",
        help="of how many of these, the worst first, it is shown and tested what the answer rests on (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--against", metavar="RUN", help="another run: which of these errors it mended, and which it made"
    )
    parser.add_argument(
        "--suspects", action="store_true", help="list training rows with labels that are probably wrong"
    )
    add_trust(parser)
    return parser


def _collect(given: Namespace) -> "Atlas":
    folder = find_run(given.run, given.runs).folder
    against = find_run(given.against, given.runs).folder if given.against else None
    from leyden.utils.runtime import load_torch

    load_torch()
    from leyden.interpretation.atlas import Wanted, collect

    wanted = Wanted(
        split=given.split,
        each=given.each if given.html else 0,
        heat=given.heat,
        suspects=given.suspects,
        every_suspect=given.suspects and bool(given.csv),
        against=against,
        overrides=given.overrides,
        config_dirs=given.config_dir,
    )
    return collect(folder, wanted, console.print)


def _number(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise ArgumentTypeError(f"{word!r}: expected a number from 1")
    return int(word)


def _heat(word: str) -> int | None:
    if word in ("all", "none"):
        return None if word == "all" else 0
    return _number(word)
