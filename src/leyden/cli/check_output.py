"""The output of `leyden check data` and `check model`: a table of checks, findings with suggested commands, totals."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from leyden.health.findings import CheckResult
from leyden.reporting.terminal.findings import checks_table, findings_lines, verdict, worst_first
from leyden.utils.console import console


def print_results(
    results: Iterable[CheckResult], command: Sequence[str], as_json: bool
) -> list[dict[str, Any]]:
    """Print the results of checks, or their findings as JSON; returns the findings in the format of result.json.

    command: the command to which the suggested overrides are added.
    """
    results = list(results)
    findings = [finding.to_dict() for result in results for finding in result.findings]
    if as_json:
        print(json.dumps(worst_first(findings), indent=2))
        return findings
    console.print(checks_table([(result.name, result.status, result.summary) for result in results]))
    for line in findings_lines(findings, command):
        console.print(line)
    console.print(verdict(findings))
    return findings
