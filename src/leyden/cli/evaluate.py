"""`leyden evaluate RUN [key=value ...]`: evaluate a finished run again, or on all of other data.

leyden evaluate runs/default/digits-cnn-seed1-0123456789
leyden evaluate RUN data.source.root=other/folder                # all of it; with --split test only its test split
leyden evaluate RUN --decision macro_f1          # thresholds for another criterion, without training again
"""

import json
from collections.abc import Sequence

from leyden.cli.arguments import Arguments, add_run, add_trust
from leyden.inference.evaluate import evaluate
from leyden.runs.lookup import find_run
from leyden.utils.console import console


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or the metrics as JSON."""
    parser = Arguments(prog="leyden evaluate", description="Evaluate a finished run.")
    add_run(parser)
    add_trust(parser)
    parser.add_argument(
        "overrides", nargs="*", default=[], help="key=value of the stored configuration: data.source.root=..."
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        action="append",
        help="default: val and test; of other data all rows, as test",
    )
    parser.add_argument(
        "--decision",
        metavar="OPTION",
        help="select another decision rule on the validation split (`leyden list decision`); "
        "its keys can be overridden: decision.temperature=true",
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    given = parser.parse_intermixed_args(arguments)
    folder = find_run(given.run, given.runs).folder
    say = (lambda _: None) if given.json else console.print
    splits = tuple(given.split or ())
    found = evaluate(folder, given.overrides, splits, given.decision, given.config_dir, say)
    if given.json:
        print(json.dumps(found, indent=1))
        return 0
    from leyden.reporting.terminal.run_result import result_table

    console.print(result_table({"status": "complete", "metrics": found, "folder": str(folder)}))
    return 0
