"""The key=value arguments, read before Hydra composes: what it would take silently, or refuse in words of its own.

verify(["model=cnn", "seed=1,2"], sweep=True, groups={"model": ["cnn", "mlp"]})
"""

import re
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from leyden.errors import UserError, nearest


def verify(overrides: Sequence[str], sweep: bool, groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse what does not parse, a group chosen twice, and several values outside a sweep.

    Of a plain key given twice the last counts, as everywhere in Hydra: a script's defaults come before "$@".

    Args:
        overrides: as typed.
        sweep: whether -m is given.
        groups: the options of each group: an override of a group is the name of one.

    Raises:
        UserError: the first of them that is wrong.
    """
    seen: dict[str, str] = {}
    for override in parse(overrides):
        key, line = override.get_key_element().lstrip("+~"), str(override.input_line)
        if override.is_sweep_override() and not sweep:
            values = _value(line)
            raise UserError(
                f"{line}: several values are a sweep: add -m (one list is written '{key}=[{values}]')"
            )
        if key in groups and not _names_an_option(override):
            raise UserError(f"{line}: expected the name of an option; {nearest(_value(line), groups[key])}")
        first = seen.setdefault(key, line)
        if key in groups and _value(first) != _value(line) and not override.is_delete():
            raise UserError(
                f"{key} is given twice, {first} and {line}: keep one (or a sweep: -m {key}=...,...)"
            )


def parse(overrides: Sequence[str]) -> list[Override]:
    """Hydra's reading of each.

    Raises:
        UserError: one is not of the form key=value, or its value has no end.
    """
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed += parser.parse_overrides([text])
        except OverrideParseException as error:
            raise UserError(_unreadable(text, error)) from error
        if not parsed[-1].key_or_group:
            raise UserError(f"{text!r} is not of the form key=value")
    return parsed


def _unreadable(text: str, error: OverrideParseException) -> str:
    if "=" not in text:
        return f"{text!r} is not of the form key=value"
    found = re.search(r"at input '(.*)'", str(error))
    place = f" from {found.group(1)!r} on" if found else ""
    return f"{text!r} cannot be read{place}; close its brackets, and quote signs of all kinds: 'key=\"a, b\"'"


def _value(line: str) -> str:
    return line.partition("=")[2]


def _names_an_option(override: Override) -> bool:
    return override.is_delete() or override.is_sweep_override() or isinstance(override.value(), str)
