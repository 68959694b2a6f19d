"""`leyden runs`: the runs that are there: list and filter them, show one, compare two, remove some.

leyden runs                               every run under runs/, the newest first
leyden runs model=cnn seed=1,2 --sort metric
leyden runs show 46d0b78d93
leyden runs diff 46d0 f00d
leyden runs rm state=failed
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from leyden.cli.arguments import Arguments
from leyden.cli.remove_runs import remove
from leyden.runs.lookup import find_run, find_runs, is_run
from leyden.runs.query import folder_and_terms, is_term, matching
from leyden.runs.records import Record, flat, read, survey
from leyden.utils.console import console
from leyden.utils.errors import UserError, nearest

_TERMS = """Terms choose runs; all must hold. A key is one of the configuration, a group, or state, folder, experiment,
seconds, or a metric of a split:
  model=cnn,mlp  seed!=1  'optimizer.lr<0.01'  state=failed  model=resnet*  'test/accuracy>=0.9'
Put terms with < > * ! in quotes, or the shell takes them for its own. States: new, running, interrupted, failed,
pruned, complete, damaged; stale is a complete run that was made with another leyden or torch.
"""
_RUN = "a run's folder, a glob, its fingerprint, its folder's name, or the beginning of one of these"


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first word names; without one, list."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "list": _list,
        "show": _show,
        "diff": _diff,
        "rm": _rm,
    }
    first = arguments[0] if arguments else ""
    if first in commands:
        return commands[first](arguments[1:])
    _verify_command(arguments, commands)
    return _list(arguments)


def _verify_command(arguments: Sequence[str], commands: dict[str, Callable[[Sequence[str]], int]]) -> None:
    """A misspelt command is not taken for a folder."""
    first = arguments[0] if arguments else ""
    if not first or first.startswith("-") or is_term(first) or Path(first).exists():
        return
    hint = nearest(first, commands)
    if hint.startswith("did you mean") and "/" not in first:
        raise UserError(f"leyden runs {first}: neither a command nor a folder; {hint}")


def _parser(command: str, description: str, more: str = "") -> Arguments:
    prog = f"leyden runs {command}".rstrip()
    return Arguments(
        prog=prog,
        description=description,
        epilog=more or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _list(arguments: Sequence[str]) -> int:
    """Print the table, or JSON."""
    from leyden.reporting.terminal.run_list import Row, run_list, sorted_by

    more = f"{_TERMS}\nSee also: leyden runs show RUN, leyden runs diff A B, leyden runs rm RUN (--help of each)."
    parser = _parser("", "The runs that are there: state, age, metrics, cost.", more)
    parser.add_argument(
        "words", nargs="*", metavar="FOLDER | key=value", help="where to look (runs), and terms"
    )
    parser.add_argument(
        "--sort", choices=("age", "metric", "cost"), default="age", help="newest, best or dearest first"
    )
    parser.add_argument("--json", action="store_true", help="a JSON list, the whole configuration in it")
    given = parser.parse_intermixed_args(arguments)
    root, terms = folder_and_terms(given.words)
    now = time.time()
    rows = [Row.of(record, now) for record in matching(_records(root), terms)]
    rows = sorted_by(rows, given.sort)
    if given.json:
        print(json.dumps([row.plain() for row in rows], indent=1))
    elif rows:
        console.print(run_list(rows, root))
    else:
        console.print(f"no run under {root}" + (f" with {' '.join(terms)}" if terms else ""))
    return 0


def _records(root: Path) -> list[Record]:
    """Every run under `root`.

    Raises:
        UserError: there is no such folder.
    """
    if not root.exists() and root == Path("runs"):
        raise UserError(
            "there is no folder runs here: `leyden train` makes it; or name one: leyden runs FOLDER"
        )
    return [record for record in survey(root) if is_run(record.folder)]


def _show(arguments: Sequence[str]) -> int:
    """Print one run's page."""
    from leyden.config.compose import compose
    from leyden.reporting.terminal.run_page import run_page

    parser = _parser(
        "show", "Everything known of one run: state, command, versions, configuration, metrics, files."
    )
    parser.add_argument("run", metavar="RUN", help=_RUN)
    _add_root(parser)
    given = parser.parse_args(arguments)
    record = find_run(given.run, given.runs)
    console.print(run_page(record, time.time(), dict(flat(compose([])))))
    return 0


def _diff(arguments: Sequence[str]) -> int:
    """Print what differs between two runs."""
    from leyden.reporting.terminal.run_diff import difference

    parser = _parser(
        "diff", "What differs between two runs: configuration, versions, data, machine, metrics."
    )
    parser.add_argument("a", metavar="A", help=_RUN)
    parser.add_argument("b", metavar="B", help="likewise")
    _add_root(parser)
    given = parser.parse_args(arguments)
    console.print(difference(find_run(given.a, given.runs), find_run(given.b, given.runs)))
    return 0


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder that runs lie in (runs)")


def _rm(arguments: Sequence[str]) -> int:
    """Say what would go, ask, remove."""
    parser = _parser(
        "rm", "Remove runs with all their files, after asking. Running ones are refused.", _TERMS
    )
    parser.add_argument(
        "words", nargs="+", metavar="RUN | key=value", help=f"{_RUN}; or terms; or a folder and terms"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    _add_root(parser)
    given = parser.parse_intermixed_args(arguments)
    chosen = _chosen(given.words, given.runs)
    if not chosen:
        console.print("no run is meant; nothing is removed")
        return 0
    return 0 if remove(chosen, _without_asking if given.yes else _asked) else 1


def _chosen(words: Sequence[str], root: Path) -> list[Record]:
    """The runs named that satisfy the terms; without a name, all that do."""
    terms = [word for word in words if is_term(word)]
    names = [word for word in words if not is_term(word)]
    for word in names if not terms else ():
        if Path(word).is_dir() and not is_run(Path(word)):
            raise UserError(
                f"{word} is no run but a folder of runs: say which, by a term or as '{word.rstrip('/')}/*'"
            )
    folders = dict.fromkeys(folder for word in names for folder in find_runs(word, root))
    records = [read(folder) for folder in folders] if names else _records(root)
    return matching(records, terms)


def _without_asking(question: str) -> bool:
    return True


def _asked(question: str) -> bool:
    """Ask on the terminal.

    Raises:
        UserError: there is none.
    """
    if not sys.stdin.isatty():
        raise UserError("not removed: there is no terminal to ask on; --yes removes without asking")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
