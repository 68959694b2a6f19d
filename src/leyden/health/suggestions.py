"""Advice with the run's own numbers in it: "optimizer.lr={rate/10}" becomes "optimizer.lr=0.0001"."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leyden.health.findings import Finding

_BLANK = re.compile(r"\{(rate|epochs)([*/])(\d+)\}")


def fill_in(finding: Finding, optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> Finding:
    """The finding with its blanks filled; advice that cannot be filled, or that is followed already, is left out."""
    known = {"rate": optimizer.get("lr"), "epochs": trainer.get("max_epochs")}
    kept = []
    for advice in finding.advice:
        names = {name for name, _, _ in _BLANK.findall(advice)}
        if any(not isinstance(known[name], int | float) for name in names):
            continue
        key = advice.partition("=")[0]
        if key.startswith("trainer.") and trainer.get(key.removeprefix("trainer.")) is not None and not names:
            continue
        kept.append(_BLANK.sub(lambda blank: _number(known, *blank.groups()), advice))
    return replace(finding, advice=tuple(kept))


def _number(known: Mapping[str, Any], name: str, sign: str, by: str) -> str:
    value = known[name] * int(by) if sign == "*" else known[name] / int(by)
    return f"{value:.3g}" if name == "rate" else str(round(value))
