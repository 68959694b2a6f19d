"""`leyden report [FOLDER ...] [KEY=VALUE ...]`: compares runs, with the uncertainty that their seeds leave.

Reads one JSON file a run, and curves for the HTML page alone; imports no torch. What is said is computed in
reporting/comparison/assessment.py; here are the arguments and where the output goes.
"""

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.cli.arguments import Arguments
from leyden.runs.query import is_term
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.files import write_text
from leyden.utils.runtime import gc_paused

if TYPE_CHECKING:
    from leyden.reporting.comparison.html_plots import Section
    from leyden.reporting.comparison.report import Report

Form = tuple[Path | None, "Callable[[Report], str]"]


def main(arguments: Sequence[str]) -> int:
    """Print the comparison, and write the files that were asked for."""
    given = _parser().parse_args(arguments)
    _sort_words(given)
    # before NumPy is imported: its matrices are small here, and a second thread only waits where others work
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with gc_paused():
        written = _compared(given)
    for path, text in written.items():
        write_text(path, text)
        console.print(f"written: {path}", markup=False, soft_wrap=True)
    return 0


def _compared(given: Namespace) -> dict[Path, str]:
    """Print the tables; what is to be written in which file."""
    from leyden.reporting.comparison import terminal
    from leyden.reporting.comparison.compare import compare

    targets = _targets(given)
    terms = [word for word in given.words if is_term(word)]
    report = compare(_folders(given.words), terms, metric=given.metric, baseline=given.baseline, by=given.by)
    written = {path: content(report) for path, content in targets.items()}
    console.print(terminal.report(report))
    return written


def _parser() -> Arguments:
    parser = Arguments(prog="leyden report", description="Compare runs: means over seeds, tests, costs.")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="FOLDER|KEY=VALUE",
        help="folders of runs (default: runs) and which of their runs, e.g. model=cnn,mlp 'optimizer.lr<0.1'",
    )
    parser.add_argument("--metric", metavar="SPLIT/NAME", help="what is compared; default: test/accuracy")
    parser.add_argument(
        "--baseline", nargs="+", default=[], metavar="KEY=VALUE", help="test all others against this group"
    )
    parser.add_argument(
        "--by", nargs="+", default=[], metavar="KEY", help="group by these keys alone; average over the rest"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row a group")
    parser.add_argument("--csv-runs", type=Path, metavar="FILE", help="write a row a run")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write one page with figures; works offline"
    )
    return parser


def _sort_words(given: Namespace) -> None:
    """Folders and terms that stand behind --baseline and --by, which take several words, are not theirs."""
    if given.baseline and not any(map(is_term, given.baseline)):
        raise UserError(f"--baseline {given.baseline[0]}: expected key=value of one group, such as model=mlp")
    of_option = {
        "baseline": is_term,
        "by": lambda word: not is_term(word) and not Path(word).is_dir(),
    }
    for name, own in of_option.items():
        words = getattr(given, name)
        setattr(given, name, [word for word in words if own(word)])
        given.words += [word for word in words if not own(word)]


def _targets(given: Namespace) -> "dict[Path, Callable[[Report], str]]":
    """The files to be written; a folder that is not there is told before any work."""
    from leyden.reporting.comparison import export, runs_csv
    from leyden.reporting.comparison.html import page

    wanted: list[Form] = [
        (given.markdown, export.markdown),
        (given.csv, export.table),
        (given.csv_runs, runs_csv.runs),
        (given.html, lambda report: page(report, given.html.absolute().parent, _studies(given.words))),
    ]
    found: dict[Path, Callable[[Report], str]] = {}
    for path, content in wanted:
        if path is None:
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            wrong = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise UserError(f"{path}: {wrong}; name a file in a folder that exists")
        if path in found:
            raise UserError(f"{path}: two outputs in one file; name two")
        found[path] = content
    return found


def _studies(words: Sequence[str]) -> "list[Section]":
    """Of the searches in the folders."""
    from leyden.reporting.comparison.html_plots import Section
    from leyden.reporting.search import sections  # draws with matplotlib, which takes a second to import

    folders = _folders(words)
    return [Section(title, content) for folder in folders for title, content in sections(folder)]


def _folders(words: Sequence[str]) -> list[Path]:
    return [Path(word) for word in words if not is_term(word)] or [Path("runs")]
