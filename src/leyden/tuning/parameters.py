"""A search parameter: choices or a range, optionally conditional; and its values as overrides."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from leyden.utils.errors import UserError, nearest

_FIELDS = ("low", "high", "log", "step", "choices", "when")
_EXAMPLE = "{low: 1e-4, high: 1e-1, log: true} or [16, 32, 64]"
_DIGITS = 4  # significant digits of values sampled from a range
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # a string that needs no quotes in an override


@dataclass(frozen=True)
class Choice:
    """A categorical parameter. `when`: key of another parameter -> its values (as text) that activate this one."""

    key: str
    values: tuple[Any, ...]
    when: Mapping[str, tuple[str, ...]]

    @property
    def count(self) -> int | None:
        """Number of values."""
        return len(self.values)

    def probes(self) -> tuple[Any, ...]:
        """Values to validate before training: all."""
        return self.values

    def draw(self, trial: Any) -> Any:
        """Sample a value for an Optuna trial, which stores lists and mappings as text."""
        by_name = {to_stored(value): value for value in self.values}
        return by_name[trial.suggest_categorical(self.key, list(by_name))]


@dataclass(frozen=True)
class Range:
    """A number from low to high, both included; an integer if low, high and step are integers."""

    key: str
    low: float
    high: float
    step: float | None
    log: bool
    when: Mapping[str, tuple[str, ...]]

    @property
    def whole(self) -> bool:
        """Whether its values are integers."""
        return all(isinstance(x, int) for x in (self.low, self.high, self.step or 1))

    @property
    def count(self) -> int | None:
        """Number of values; None: continuous."""
        step = self.step or (1 if self.whole else None)
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    def probes(self) -> tuple[Any, ...]:
        """Values to validate before training: both ends."""
        return (self.low, self.high)

    def draw(self, trial: Any) -> Any:
        """Sample a value for an Optuna trial."""
        if self.whole:
            return trial.suggest_int(
                self.key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log
            )
        value = trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


Parameter = Choice | Range


def parameter_of(key: str, node: Any) -> Parameter:
    """Parse one entry of `params`.

    Raises:
        UserError: it is neither a range nor choices, or a field is invalid.
    """
    if isinstance(node, list):
        node = {"choices": node}
    if not isinstance(node, Mapping):
        raise UserError(f"sweep.params.{key}={node}: expected a range or choices, such as {_EXAMPLE}")
    for name in node:
        if name not in _FIELDS:
            raise UserError(
                f"sweep.params.{key}.{name}: there is no such field; {nearest(str(name), _FIELDS)}"
            )
    when = _conditions(key, node.get("when"))
    if "choices" not in node:
        return _range(key, node, when)
    choices = node["choices"]
    if not isinstance(choices, list) or not choices or len(node) > 1 + ("when" in node):
        raise UserError(
            f"sweep.params.{key}: expected a list of choices, [a, b], and no field but when, got {literal(node)}"
        )
    if len({to_stored(value) for value in choices}) < len(choices):
        raise UserError(f"sweep.params.{key}={literal(choices)}: a choice occurs twice")
    return Choice(key, tuple(choices), when)


def _range(key: str, node: Mapping[str, Any], when: Mapping[str, tuple[str, ...]]) -> Range:
    place = f"sweep.params.{key}"
    if "low" not in node or "high" not in node:
        raise UserError(f"{place}: expected both ends of the range, or choices: {_EXAMPLE}")
    low, high, step, log = node["low"], node["high"], node.get("step"), node.get("log", False)
    for name, value in (("low", low), ("high", high), *([("step", step)] if step is not None else [])):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{place}.{name}={value}: expected a number")
    if not isinstance(log, bool):
        raise UserError(f"{place}.log={log}: expected true or false")
    if low > high:
        raise UserError(f"{place}: low={low} is above high={high}")
    if log and low <= 0:
        raise UserError(f"{place}: log needs low above 0, got low={low}")
    if step is not None and (step <= 0 or log):
        reason = "a range on a log scale has no step" if log else "expected a number above 0"
        raise UserError(f"{place}.step={step}: {reason}")
    return Range(key, low, high, step, log, when)


def _conditions(key: str, node: Any) -> dict[str, tuple[str, ...]]:
    """Parse `loss=focal`, `model=cnn,mlp`, a list of these (all must be met), or a mapping."""
    if node is None:
        return {}
    if isinstance(node, Mapping):
        listed = {k: v if isinstance(v, list) else [v] for k, v in node.items()}
        return {str(k): tuple(map(display, values)) for k, values in listed.items()}
    found = {}
    for text in node if isinstance(node, list) else [node]:
        name, equals, values = str(text).partition("=")
        if not equals or not values:
            raise UserError(f"sweep.params.{key}.when={text}: expected a condition such as loss=focal")
        found[name.strip()] = tuple(value.strip() for value in values.split(","))
    return found


def values_of(parameter: Parameter) -> tuple[Any, ...]:
    """All values of a parameter; a range must have a step."""
    if isinstance(parameter, Choice):
        return parameter.values
    step = parameter.step or 1
    return tuple(parameter.low + i * step for i in range(parameter.count or 0))


def to_stored(value: Any) -> Any:
    """A choice as Optuna stores it: strings and numbers as they are, lists, mappings and booleans as text."""
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    return value if plain else literal(value)


def display(value: Any) -> str:
    """A value as text, for comparison with conditions."""
    return str(to_stored(value))


def word(key: str, value: Any) -> str:
    """The override that sets a parameter: optimizer.lr=0.003."""
    return f"{key}={literal(value)}"


def literal(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(literal(inner) for inner in value) + "]"
    if isinstance(value, str):
        unquoted = _PLAIN.fullmatch(value) and isinstance(yaml.safe_load(value), str)
        return value if unquoted else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return json.dumps(value)
