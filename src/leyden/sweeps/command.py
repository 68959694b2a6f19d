"""The overrides of a search's command: what all trials share, and what is searched."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString


def divided(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """The command's overrides: those that every trial has, and as parameters those that are sweeps."""
    fixed: list[str] = []
    params: dict[str, Any] = {}
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        key = override.get_key_element().lstrip("+~")
        if key == "sweep" or key.startswith("sweep."):
            continue
        if override.is_sweep_override():
            params[key] = _as_parameter(override)
        else:
            fixed.append(str(override.input_line))
    return fixed, params


def _as_parameter(override: Override) -> Any:
    """`a,b` is choices; range(1,10,2), interval(1e-4,1e-1) and tag(log, interval(...)) are ranges."""
    value: Any = override.value()
    if override.is_choice_sweep():
        return [str(v.text) if isinstance(v, QuotedString) else v for v in value.list]
    if override.is_range_sweep():
        steps = list(value.range())
        return {"low": steps[0], "high": steps[-1], "step": value.step} if steps else []
    return {"low": value.start, "high": value.end, "log": "log" in value.tags}
