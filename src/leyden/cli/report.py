"""`leyden report [FOLDER ...] [KEY=VALUE ...]`: compare groups of runs, with uncertainty over seeds.

Reads one JSON file per run, and learning curves only for the HTML page; imports no torch. The content is computed in
reporting/comparison/report.py; this module handles arguments and output files.
"""

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.cli.arguments import Arguments, add_runs_folder
from leyden.runs.query import is_term, words_and_terms
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.files import write_text
from leyden.utils.runtime import gc_paused

if TYPE_CHECKING:
    from leyden.reporting.comparison.html_plots import Section
    from leyden.reporting.comparison.report import Report

Form = tuple[Path | None, "Callable[[Report], str]"]


def main(arguments: Sequence[str]) -> int:
    """Print the comparison, and write the requested files."""
    given = _parser().parse_args(arguments)
    _reassign_arguments(given)
    # set before NumPy is imported: its matrices are small here, and more threads only slow it down on a busy machine
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with gc_paused():
        files = _compare(given)
    for path, text in files.items():
        write_text(path, text)
        console.print(f"written: {path}")
    return 0


def _compare(given: Namespace) -> dict[Path, str]:
    """Print the tables; returns the content of the files to write, by path."""
    from leyden.reporting.comparison import terminal
    from leyden.reporting.comparison.compare import compare

    targets = _targets(given)
    words, terms = words_and_terms(given.selection)
    report = compare(words, terms, runs=given.runs, metric=given.metric, baseline=given.baseline, by=given.by)
    files = {path: content(report) for path, content in targets.items()}
    console.print(terminal.report(report))
    return files


def _parser() -> Arguments:
    parser = Arguments(
        prog="leyden report", description="Compare runs: means over seeds, significance tests, costs."
    )
    parser.add_argument(
        "selection",
        nargs="*",
        metavar="RUN|KEY=VALUE",
        help="runs or folders of runs (default: --runs), and terms that select runs: model=cnn,mlp 'optimizer.lr<0.1'",
    )
    add_runs_folder(parser)
    parser.add_argument(
        "--metric",
        metavar="[SPLIT/]NAME",
        help="NAME (default: what the runs monitored): val/NAME chooses, test/NAME is shown; test/NAME: it does both",
    )
    parser.add_argument(
        "--baseline", nargs="+", default=[], metavar="KEY=VALUE", help="test all others against this group"
    )
    parser.add_argument(
        "--by", nargs="+", default=[], metavar="KEY", help="group only by these keys; average over the others"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one row per group")
    parser.add_argument("--csv-runs", type=Path, metavar="FILE", help="write one row per run")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a self-contained page with figures")
    return parser


def _reassign_arguments(given: Namespace) -> None:
    """Move folders and terms after --baseline and --by, which take several values, to the positional arguments."""
    if given.baseline and not any(map(is_term, given.baseline)):
        raise UserError(f"--baseline {given.baseline[0]}: expected key=value of one group, such as model=mlp")
    belongs = {
        "baseline": is_term,
        "by": lambda item: not is_term(item) and not Path(item).is_dir(),
    }
    for name, is_value in belongs.items():
        values = getattr(given, name)
        setattr(given, name, [value for value in values if is_value(value)])
        given.selection += [value for value in values if not is_value(value)]


def _targets(given: Namespace) -> "dict[Path, Callable[[Report], str]]":
    """Return the formatter of each file to write.

    Raises:
        UserError: a file cannot be written to, or is given twice.
    """
    from leyden.reporting.comparison import export, runs_csv
    from leyden.reporting.comparison.html import page

    wanted: list[Form] = [
        (given.markdown, export.markdown),
        (given.csv, export.table),
        (given.csv_runs, runs_csv.runs),
        (given.html, lambda report: page(report, given.html.absolute().parent, _studies(given))),
    ]
    found: dict[Path, Callable[[Report], str]] = {}
    for path, content in wanted:
        if path is None:
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            wrong = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise UserError(f"{path}: {wrong}; give a file in an existing folder")
        if path in found:
            raise UserError(f"{path}: two outputs in one file; give two files")
        found[path] = content
    return found


def _studies(given: Namespace) -> "list[Section]":
    """Return the sections of the searches in the folders."""
    from leyden.reporting.comparison.html_plots import Section
    from leyden.utils.runtime import load_matplotlib

    load_matplotlib()  # takes a second
    from leyden.reporting.search import sections

    folders = map(Path, words_and_terms(given.selection)[0] or [given.runs])
    return [Section(title, content) for folder in folders for title, content in sections(folder)]
