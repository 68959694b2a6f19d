"""`leyden runs`: list and filter runs, show one, compare two, remove some.

leyden runs                               every run under runs/, newest first
leyden runs model=cnn seed=1,2 --sort metric
leyden runs show 46d0b78d93
leyden runs diff 46d0 f00d
leyden runs rm state=failed
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from leyden.cli.arguments import RUN, Arguments, add_run, add_runs_folder, confirm
from leyden.cli.remove_runs import remove
from leyden.runs.lookup import find_records, find_run, is_run
from leyden.runs.query import matching, words_and_terms
from leyden.runs.records import Record, flat
from leyden.utils.console import console
from leyden.utils.errors import UserError, nearest

_TERMS = """Terms select runs; all must hold. A key is one of the configuration, a group, or state, folder, experiment,
seconds, or a metric of a split:
  model=cnn,mlp  seed!=1  'optimizer.lr<0.01'  state=failed  model=resnet*  'test/accuracy>=0.9'
Quote terms with < > * !, which the shell would interpret. States: new, running, interrupted, failed, pruned,
complete, damaged; stale: a complete run that was made with another version of leyden or torch.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the subcommand that the first argument names; without one, list."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "list": _list,
        "show": _show,
        "diff": _diff,
        "rm": _rm,
    }
    first = arguments[0] if arguments else ""
    if first in commands:
        return commands[first](arguments[1:])
    try:
        return _list(arguments)
    except UserError as error:
        hint = nearest(first, commands)
        if hint.startswith("did you mean") and str(error).startswith(f"{first}: "):  # no run of this name
            raise UserError(f"leyden runs {first}: neither a command nor a run; {hint}") from error
        raise


def _parser(command: str, description: str, epilog: str = "") -> Arguments:
    prog = f"leyden runs {command}".rstrip()
    return Arguments(
        prog=prog,
        description=description,
        epilog=epilog or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _list(arguments: Sequence[str]) -> int:
    """Print the list as a table or as JSON."""
    from leyden.reporting.terminal.run_list import Row, run_list, sorted_by, what_differs

    epilog = f"{_TERMS}\nSee also: leyden runs show RUN, leyden runs diff A B, leyden runs rm RUN (--help of each)."
    parser = _parser("", "List runs: state, age, metrics, cost.", epilog)
    parser.add_argument(
        "selection",
        nargs="*",
        metavar="RUN | key=value",
        help=f"folders of runs (default: --runs), {RUN}; and terms",
    )
    add_runs_folder(parser)
    parser.add_argument(
        "--sort",
        choices=("age", "metric", "cost"),
        default="age",
        help="newest, best or most expensive first (default: age)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON list, including each run's configuration"
    )
    given = parser.parse_intermixed_args(arguments)
    words, terms = words_and_terms(given.selection)
    root = Path(words[0]) if len(words) == 1 and Path(words[0]).is_dir() else given.runs
    now = time.time()
    records = matching(find_records(words, given.runs), terms)
    differing = what_differs(records)
    rows = [Row.of(record, now, differs) for record, differs in zip(records, differing, strict=True)]
    rows = sorted_by(rows, given.sort)
    if given.json:
        print(json.dumps([row.plain() for row in rows], indent=1))
    elif rows:
        console.print(run_list(rows, root))
    else:
        console.print(f"no run under {root}" + (f" with {' '.join(terms)}" if terms else ""))
    return 0


def _show(arguments: Sequence[str]) -> int:
    """Print the details of one run."""
    from leyden.config.compose import compose
    from leyden.reporting.terminal.run_page import run_page

    parser = _parser(
        "show", "Show all details of one run: state, command, versions, configuration, metrics, files."
    )
    add_run(parser)
    given = parser.parse_args(arguments)
    record = find_run(given.run, given.runs)
    console.print(run_page(record, time.time(), dict(flat(compose([])))))
    return 0


def _diff(arguments: Sequence[str]) -> int:
    """Print the differences between two runs."""
    from leyden.reporting.terminal.run_diff import difference

    parser = _parser(
        "diff", "Show the differences between two runs: configuration, versions, data, machine, metrics."
    )
    parser.add_argument("a", metavar="A", help=RUN)
    parser.add_argument("b", metavar="B", help="same as A")
    add_runs_folder(parser)
    given = parser.parse_args(arguments)
    console.print(difference(find_run(given.a, given.runs), find_run(given.b, given.runs)))
    return 0


def _rm(arguments: Sequence[str]) -> int:
    """List the runs to be removed, ask for confirmation, remove them."""
    parser = _parser(
        "rm", "Remove runs with all their files, after confirmation. Running ones are rejected.", _TERMS
    )
    parser.add_argument(
        "selection", nargs="+", metavar="RUN | key=value", help=f"{RUN}; or terms; or a folder and terms"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="remove without confirmation")
    add_runs_folder(parser)
    given = parser.parse_intermixed_args(arguments)
    selected = _select(given.selection, given.runs)
    if not selected:
        console.print("no run matches; nothing removed")
        return 0
    return 0 if remove(selected, lambda question: confirm(question, given.yes)) else 1


def _select(selection: Sequence[str], root: Path) -> list[Record]:
    """Return the given runs that satisfy the terms; if none is given, all runs that do."""
    names, terms = words_and_terms(selection)
    for item in names if not terms else ():
        if Path(item).is_dir() and not is_run(Path(item)):
            raise UserError(
                f"{item} is a folder of runs, not a run: select runs by a term, or all by '{item.rstrip('/')}/*'"
            )
    return matching(find_records(names, root), terms)
