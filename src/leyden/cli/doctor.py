"""`leyden doctor RUN`: list the problems found in a run, worst first, with commands to try.

leyden doctor runs/default/digits-cnn-seed1-0123456789
"""

import json
from collections.abc import Sequence

from leyden.cli.arguments import Arguments, add_run
from leyden.runs.lookup import find_run
from leyden.runs.run import Run
from leyden.utils.console import console
from leyden.utils.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Print the findings; returns exit status 1 if one of them is an error."""
    parser = Arguments(prog="leyden doctor", description="List the problems found in a run.")
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    given = parser.parse_args(arguments)
    run = Run(find_run(given.run, given.runs).folder)
    result = run.result()
    if result is None:
        raise UserError(f"{run.folder} has no result.json: train it first")
    from leyden.reporting.terminal.findings import findings_lines, worst_first

    findings = worst_first(result.get("doctor") or [])
    if given.json:
        print(json.dumps(findings, indent=1))
    elif not findings:
        console.print(f"no problems found; the run is {result['status']}")
    else:
        for line in findings_lines(findings, run.command()):
            console.print(line)
    return 1 if any(finding["level"] == "error" for finding in findings) else 0
