"""The doctor's findings in the terminal and in Markdown: what is wrong, where, and a command line to try."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from leyden.reporting.format import plural
from leyden.reporting.terminal.layout import plain_table, text

_ORDER = ("error", "warning", "info")
_STYLES = {"error": "bold red", "warning": "yellow", "info": "default"}

Findings = Sequence[Mapping[str, Any]]  # as in result.json


def worst_first(findings: Findings) -> list[Mapping[str, Any]]:
    """By level, and within it in the order found."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding["level"]))


def findings_lines(findings: Findings, command: Sequence[str] = ()) -> Iterator[RenderableType]:
    """Each finding, worst first: its sentence, its place, and what to paste.

    Args:
        findings: as in result.json.
        command: the words that the overrides of the advice are added to; empty: they stand alone.
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
    """A command line to try: whole, to be pasted."""
    return Text(f"  try: {paste(command, override)}", no_wrap=True, overflow="ignore")


def checks_table(looks: Sequence[tuple[str, str, str]]) -> RenderableType:
    """(what was looked at, holds or the worst level, what was found) of each look."""
    table = plain_table("", ("looked at", "left"), ("", "left"), ("found", "left"))
    for name, word, told in looks:
        table.add_row(text(name), text(word, _STYLES.get(word, "green")), text(told))
    return table


def verdict(findings: Findings) -> str:
    """How many there are of each level."""
    if not findings:
        return "the doctor has found nothing"
    counts = {level: sum(f["level"] == level for f in findings) for level in _ORDER}
    return (
        f"{plural(counts['error'], 'error')}, {plural(counts['warning'], 'warning')}, {counts['info']} info"
    )


def paste(command: Sequence[str], override: str) -> str:
    """A command line: the words, without those that the overrides replace, and the overrides."""
    new = shlex.split(override)
    keys = {word.partition("=")[0] for word in new}
    kept = [word for word in command if word.partition("=")[0] not in keys]
    return " ".join([*map(shlex.quote, kept), *new])


def markdown(findings: Findings, command: Sequence[str] = ()) -> str:
    """As a list, for TensorBoard."""
    if not findings:
        return "The doctor has found nothing."
    lines = []
    for finding in worst_first(findings):
        where = f" (at `{finding['where']}`)" if finding.get("where") else ""
        lines.append(f"- **{finding['level']}** `{finding['id']}`{where}: {finding['message']}")
        lines += [f"    - try `{paste(command, override)}`" for override in finding.get("advice") or ()]
    return "\n".join(lines)
