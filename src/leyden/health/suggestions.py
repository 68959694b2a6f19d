"""Suggested overrides with the run's own numbers: "optimizer.lr={rate/10}" becomes "optimizer.lr=0.0001"."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leyden.health.findings import Finding

_PLACEHOLDER = re.compile(r"\{(rate|epochs)([*/])(\d+)\}")


def fill_in(finding: Finding, optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> Finding:
    """The finding with its placeholders filled in.

    Suggestions that cannot be filled in, or that the run already uses, are removed.

    Args:
        finding: with placeholders {rate*N}, {rate/N}, {epochs*N}, {epochs/N} in its advice.
        optimizer: node `optimizer` of the configuration, for the learning rate.
        trainer: node `trainer` of the configuration, for the number of epochs.
    """
    values = {"rate": optimizer.get("lr"), "epochs": trainer.get("max_epochs")}
    filled = []
    for advice in finding.advice:
        names = {name for name, _, _ in _PLACEHOLDER.findall(advice)}
        if any(not isinstance(values[name], int | float) for name in names):
            continue
        key = advice.partition("=")[0]
        if key.startswith("trainer.") and trainer.get(key.removeprefix("trainer.")) is not None and not names:
            continue
        filled.append(_PLACEHOLDER.sub(lambda match: _scaled(values, *match.groups()), advice))
    return replace(finding, advice=tuple(filled))


def _scaled(values: Mapping[str, Any], name: str, operator: str, operand: str) -> str:
    value = values[name] * int(operand) if operator == "*" else values[name] / int(operand)
    return f"{value:.3g}" if name == "rate" else str(round(value))
