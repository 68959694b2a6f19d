"""`leyden doctor RUN`: list the problems found in a run, worst first, with commands to try.

leyden doctor runs/default/digits-cnn-seed1-0123456789
"""

import json
from collections.abc import Sequence
from pathlib import Path

from leyden.cli.arguments import Arguments
from leyden.runs.run import Run, load_config
from leyden.utils.console import console
from leyden.utils.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Print the findings; returns exit status 1 if one of them is an error."""
    parser = Arguments(prog="leyden doctor", description="List the problems found in a run.")
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    given = parser.parse_args(arguments)
    load_config(given.run)
    result = Run(given.run).result()
    if result is None:
        raise UserError(f"{given.run} has no result.json: train it first")
    from leyden.reporting.terminal.findings import findings_lines, worst_first

    findings = worst_first(result.get("doctor") or [])
    if given.json:
        print(json.dumps(findings, indent=1))
    elif not findings:
        console.print(f"no problems found; the run is {result['status']}")
    else:
        for line in findings_lines(findings, Run(given.run).command()):
            console.print(line, soft_wrap=True)
    return 1 if any(finding["level"] == "error" for finding in findings) else 0
