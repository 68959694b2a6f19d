"""`leyden check explain [RUN | key=value ...]`: which methods of attribution to trust for a net.

leyden check explain RUN                         # stored with the run; `leyden explain` prints it on each map
leyden check explain model=resnet20 data=cifar10
leyden check explain RUN --rows 300 --method grad_cam --json
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.cli.arguments import RUN, Arguments, add_runs_folder, add_trust
from leyden.reporting.terminal.explain_check import check_lines
from leyden.runs.explain_check import ExplainCheck
from leyden.runs.lookup import find_run
from leyden.runs.run import load_config
from leyden.training.continuation import compose_with_runs
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.runtime import load_torch, prepare

if TYPE_CHECKING:
    from leyden.data.spec import DataSpec
    from leyden.inference.load import LoadedRun


def main(arguments: Sequence[str]) -> int:
    """Print how each method does on a planted signal; returns exit status 1 if none is to be trusted."""
    given = _parser().parse_intermixed_args(arguments)
    if given.rows < 1 or given.epochs < 1:
        raise UserError("--rows and --epochs: expected 1 or more")
    runs = [word for word in given.overrides if "=" not in word]
    if runs and len(given.overrides) > 1:
        raise UserError(f"leyden check explain: give a run ({runs[0]}) or key=value, not both")
    folder = find_run(runs[0], given.runs).folder if runs else None
    load_torch()
    found = _check(given, folder)
    if folder is not None:
        found.write(folder)
    if given.json:
        print(found.model_dump_json(indent=1))
    else:
        for line in check_lines(found, folder):
            console.print(line)
    return int(not any(method.is_trusted for method in found.methods.values()))


def _parser() -> Arguments:
    parser = Arguments(
        prog="leyden check explain",
        description="Find which methods of attribution to trust for a net, by a planted signal whose place is known.",
    )
    words = f"{RUN}; or key=value, as for leyden train, of a model and its data"
    parser.add_argument("overrides", nargs="*", default=[], metavar="RUN | key=value", help=words)
    add_runs_folder(parser)
    add_trust(parser)
    parser.add_argument("--method", action="append", help="one of `leyden explain --help`; may be repeated")
    parser.add_argument("--rows", type=int, default=100, help="how many are measured (default: 100)")
    parser.add_argument(
        "--epochs", type=int, default=10, help="of training on the generated set, where it is (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _check(given: argparse.Namespace, folder: Path | None) -> ExplainCheck:
    """Of the run itself where the place of its signal is known; else of its architecture on the generated set."""
    from leyden.inference.load import load
    from leyden.interpretation import planted
    from leyden.interpretation.access import open_data
    from leyden.interpretation.truth import has_test

    methods = tuple(given.method or planted.METHODS)
    planted.verify_methods(methods)

    def measure(run: "LoadedRun") -> ExplainCheck:
        prepare(run.config.threads)
        with console.status("explaining planted rows"):
            return planted.check_run(run, open_data(run, given.config_dir), methods, given.rows)

    if folder is not None:
        run = load(folder, given.config_dir)
        if has_test(run.config.data.source):
            return measure(run)
        made: tuple[Mapping[str, Any], DataSpec] = load_config(folder), run.spec
    else:
        made = _composed(given)
    with tempfile.TemporaryDirectory() as scratch:
        trained = planted.train_planted(*made, Path(scratch), given.epochs)
        return measure(load(trained, given.config_dir)).model_copy(update={"epochs": given.epochs})


def _composed(given: argparse.Namespace) -> tuple[Mapping[str, Any], "DataSpec"]:
    """What was typed, and the facts of its data, which are read."""
    from leyden.config.validate import check
    from leyden.training import build

    plain, _ = compose_with_runs(given.overrides, given.config_dir)
    config = check(plain)
    prepare(config.threads)
    return plain, build.experiment(config).data.spec
