"""Parse and verify the key=value arguments before Hydra composes, to report mistakes that it would accept silently.

verify(["model=cnn", "seed=1,2"], sweep=True, groups={"model": ["cnn", "mlp"]})
"""

import argparse
import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from leyden.utils.errors import UserError, first_line, nearest

_MOST_VALUES = 100_000  # of a range
SEVERAL = (
    "augment",
    "metrics",
    "callbacks",
    "logger",
)  # groups of which several options at once can be chosen


def verify(overrides: Sequence[str], sweep: bool, groups: Mapping[str, Sequence[str]]) -> None:
    """Reject overrides that do not parse, a group that is chosen twice, and several values outside a sweep.

    If a plain key is given twice, the last value wins, as everywhere in Hydra: a script's defaults come before "$@".

    Args:
        overrides: as typed.
        sweep: whether -m is given.
        groups: the names of the options of each group.

    Raises:
        UserError: the first invalid override.
    """
    seen: dict[str, str] = {}
    for override in parse(overrides):
        key, line = override.get_key_element().lstrip("+~"), str(override.input_line)
        if override.is_sweep_override() and not sweep:
            values = _value(line)
            raise UserError(
                f"{line}: several values need a sweep: add -m (for one list, type '{key}=[{values}]')"
            )
        if override.is_range_sweep():
            _verify_range(override)
        if key in groups:
            _verify_option(override, key, groups[key])
        first = seen.setdefault(key, line)
        if key in groups and _value(first) != _value(line) and not override.is_delete():
            raise UserError(
                f"{key} is given twice, {first} and {line}: keep one (or sweep over both: -m {key}=...,...)"
            )


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides with Hydra's parser.

    Raises:
        UserError: one is not of the form key=value, or its value cannot be parsed.
    """
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except OverrideParseException as error:
            raise UserError(_parse_error_message(text, error)) from error
        if not parsed[-1].key_or_group:
            raise UserError(f"{text!r} is not of the form key=value")
    return parsed


def keys_of(overrides: Sequence[str]) -> tuple[str, ...]:
    """The dotted keys of overrides; raises what `parse` raises."""
    return tuple(override.key_or_group for override in parse(overrides))


def with_overrides(plain: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A stored configuration with key=value pairs laid over it. Of interpolations only those typed are resolved.

    Raises:
        UserError: an override chooses or deletes a whole option, or its value cannot be resolved.
    """
    merged = copy.deepcopy(dict(plain))
    for override in parse(overrides):
        key = override.key_or_group
        if "/" in key or isinstance(plain.get(key), dict) or override.is_delete():
            raise UserError(
                f"{override.input_line}: a finished run keeps its options; "
                "change keys in them: data.source.root=..."
            )
        *way, last = key.split(".")
        node: Any = merged
        for part in way:
            node = node.setdefault(part, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise UserError(f"{override.input_line}: there is nothing below {'.'.join(way)}")
        node[last] = _resolved(override)
    return merged


def _resolved(override: Override) -> Any:
    try:
        held = OmegaConf.create({"value": override.value()})
        return OmegaConf.to_container(held, resolve=True)["value"]  # type: ignore[call-overload, index]
    except OmegaConfBaseException as error:
        raise UserError(f"{override.input_line}: {first_line(error)}") from error


def _parse_error_message(text: str, error: OverrideParseException) -> str:
    if "=" not in text:
        return f"{text!r} is not of the form key=value"
    found = re.search(r"at input '(.*)'", str(error))
    place = f" from {found.group(1)!r} on" if found else ""
    return (
        f"{text!r} cannot be parsed{place}; close all brackets, and quote special characters: 'key=\"a, b\"'"
    )


def _value(line: str) -> str:
    return line.partition("=")[2]


def _verify_range(override: Override) -> None:
    """A range has values, and not so many that listing them never ends."""
    value: Any = override.value()
    count = (value.stop - value.start) / value.step if value.step else 0
    if not 0 < count <= _MOST_VALUES:
        found = "no value" if count <= 0 else f"{count:,.0f} values, more than {_MOST_VALUES:,}"
        raise UserError(f"{override.input_line}: the range has {found}; it is range(start, stop, step)")


def _verify_option(override: Override, group: str, options: Sequence[str]) -> None:
    """An override of a group is the name of an option; of some groups it may be a list of several."""
    if override.is_delete() or override.is_sweep_override():
        return
    value: Any = override.value()
    line = str(override.input_line)
    if not isinstance(value, str | list):
        raise UserError(f"{line}: expected the name of an option; {nearest(_value(line), options)}")
    if isinstance(value, list) and not all(isinstance(name, str) for name in value):
        raise UserError(f"{line}: expected names of options; {nearest(_value(line), options)}")
    if isinstance(value, list) and group not in SEVERAL:
        raise UserError(
            f"{line}: {group} takes one option; lists are for {', '.join(SEVERAL)} (a sweep: -m {group}=A,B)"
        )


def unknown_flag(message: str) -> str:
    """Return the first flag that argparse's message calls unknown, with what is joined to it; "" if there is none."""
    _, _, rest = message.partition("unrecognized arguments: ")
    return next((argument for argument in rest.split() if argument.startswith("-")), "")


def format_parser_error(parser: argparse.ArgumentParser, message: str) -> str:
    """Return argparse's message; for unknown flags, the first of them with the nearest valid flag."""
    flag = unknown_flag(message)
    if not flag:
        return message
    flags = (name for action in parser._actions for name in action.option_strings if name.startswith("--"))
    return f"{flag}: there is no such option; {nearest(flag.partition('=')[0], flags)}"


def split_search_overrides(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Split a search's overrides into those shared by all trials, and the searched parameters with their ranges."""
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
    """Convert `a,b` to a list of choices; range(), interval() and tag(log, interval()) to a range."""
    value: Any = override.value()
    if override.is_choice_sweep():
        return [str(v.text) if isinstance(v, QuotedString) else v for v in value.list]
    if override.is_range_sweep():
        steps = list(value.range())
        return {"low": steps[0], "high": steps[-1], "step": value.step} if steps else []
    return {"low": value.start, "high": value.end, "log": "log" in value.tags}
