"""Findings of `leyden doctor` and the checks in the terminal and in Markdown: message, location, suggested command."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from leyden.reporting.markdown import code, escape
from leyden.reporting.terminal.layout import plain_table, text
from leyden.utils.text import plural

_ORDER = ("error", "warning", "info")
_STYLES = {"error": "bold red", "warning": "yellow", "info": "default"}

Findings = Sequence[Mapping[str, Any]]  # as in result.json


def worst_first(findings: Findings) -> list[Mapping[str, Any]]:
    """Sort findings by level: error, warning, info; within a level the order is kept."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding["level"]))


def findings_lines(findings: Findings, command: Sequence[str] = ()) -> Iterator[RenderableType]:
    """Yield the lines of each finding, worst first: message, location, and suggested commands.

    Args:
        findings: as in result.json.
        command: the command to which the suggested overrides are added; empty: the overrides are printed alone.
    """
    for finding in worst_first(findings):
        at = [f"at {finding['where']}"] if finding.get("where") else []
        at += [f"step {finding['step']}"] if finding.get("step") is not None else []
        yield text(f"{finding['level']}: {finding['message']}", _STYLES[finding["level"]])
        if at:
            yield text(f"  {', '.join(at)}", "dim")
        for override in finding.get("advice") or ():
            yield suggested_commands(command, override)


def suggested_commands(command: Sequence[str], override: str) -> Text:
    """Return a suggested command line."""
    return text(f"  try: {with_override(command, override)}")


def checks_table(results: Sequence[tuple[str, str, str]]) -> RenderableType:
    """Format the results of checks as a table: (name, status, summary) of each."""
    table = plain_table("", ("check", "left"), ("status", "left"), ("summary", "left"))
    for name, status, summary in results:
        table.add_row(text(name), text(status, _STYLES.get(status, "green")), text(summary))
    return table


def verdict(findings: Findings) -> str:
    """Return the number of findings of each level as text."""
    if not findings:
        return "no problems found"
    counts = {level: sum(f["level"] == level for f in findings) for level in _ORDER}
    return (
        f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {counts['info']} info"
    )


def with_override(command: Sequence[str], override: str) -> str:
    """Return the command line with the overrides added, in place of those of the same keys; each a shell word."""
    new = _words(override)
    keys = {argument.partition("=")[0] for argument in new}
    kept = [argument for argument in command if argument.partition("=")[0] not in keys]
    return shlex.join([*kept, *new])


def _words(override: str) -> list[str]:
    """Split the overrides of an advice, which may come from a stranger's run."""
    try:
        return shlex.split(override)
    except ValueError:  # an open quote
        return [override]


def markdown(findings: Findings, command: Sequence[str] = ()) -> str:
    """Format the findings as a Markdown list, worst first."""
    if not findings:
        return "No problems found."
    lines = []
    for finding in worst_first(findings):
        where = f" (at {code(finding['where'])})" if finding.get("where") else ""
        lines.append(f"- **{finding['level']}** {code(finding['id'])}{where}: {escape(finding['message'])}")
        lines += [
            f"    - try {code(with_override(command, override))}" for override in finding.get("advice") or ()
        ]
    return "\n".join(lines)
