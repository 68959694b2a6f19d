"""What `leyden check data` and `check model` print: a table of looks, the findings with overrides to try, the sum."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from leyden.health.findings import CheckResult
from leyden.reporting.terminal.findings import checks_table, findings_lines, verdict, worst_first
from leyden.utils.console import console


def print_results(
    looks: Iterable[CheckResult], command: Sequence[str], as_json: bool
) -> list[dict[str, Any]]:
    """Print the looks, or their findings as JSON; returns the findings as result.json holds them.

    command: the words that the overrides of the advice are added to.
    """
    looks = list(looks)
    findings = [finding.to_dict() for look in looks for finding in look.findings]
    if as_json:
        print(json.dumps(worst_first(findings), indent=2))
        return findings
    console.print(checks_table([(look.name, look.status, look.summary) for look in looks]))
    for line in findings_lines(findings, command):
        console.print(line, soft_wrap=True)
    console.print(verdict(findings))
    return findings
