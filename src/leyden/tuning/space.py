"""Search space: ranges and choices by key, some of them conditional. Does not import Optuna.

space = Space.of({
    "optimizer.lr": {"low": 1e-4, "high": 0.1, "log": True},
    "loss": ["cross_entropy", "focal"],
    "loss.gamma": {"low": 0.5, "high": 3, "when": "loss=focal"},
})
space.draw(trial)       # {"optimizer.lr": 0.0031, "loss": "cross_entropy"}
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leyden.tuning.parameters import Parameter, Range, display, parameter_of, to_stored, values_of
from leyden.utils.errors import UserError, nearest

Values = dict[str, Any]  # key -> value of every active parameter


@dataclass(frozen=True)
class Space:
    """The parameters, each after those its condition depends on."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Space":
        """Parse the node `params` of a search.

        Raises:
            UserError: an invalid range or condition; the message names the parameter.
        """
        parsed = {key: parameter_of(str(key), node) for key, node in params.items()}
        for parameter in parsed.values():
            _verify_condition(parameter, parsed)
        return cls(tuple(_ordered(parsed)))

    def draw(self, trial: Any) -> Values:
        """Sample a value of each active parameter for an Optuna trial."""
        values: Values = {}
        for parameter in self.parameters:
            if _is_active(parameter.when, values):
                values[parameter.key] = parameter.draw(trial)
        return values

    def probes(self) -> Iterator[Values]:
        """Points to validate before training: every choice and every end of a range occurs in one of them."""
        by_key = {parameter.key: parameter for parameter in self.parameters}
        seen: set[str] = set()
        for parameter in self.parameters:
            for value in parameter.probes():
                values = self._point(_enabling(parameter, by_key) | {parameter.key: value})
                text = json.dumps(values, sort_keys=True, default=str)
                if text not in seen:
                    seen.add(text)
                    yield values

    def _point(self, fixed: Values) -> Values:
        values: Values = {}
        for parameter in self.parameters:
            if _is_active(parameter.when, values):
                values[parameter.key] = fixed.get(parameter.key, parameter.probes()[0])
        return values

    def size(self) -> int | None:
        """Number of points; None: a parameter is continuous."""
        if any(parameter.count is None for parameter in self.parameters):
            return None
        condition_keys = {key for parameter in self.parameters for key in parameter.when}
        conditions = [p for p in self.parameters if p.key in condition_keys]
        values = [values_of(p) for p in conditions]
        points: set[tuple[tuple[str, Any], ...]] = set()
        for combination in itertools.product(*values):
            active: Values = {}
            for parameter, value in zip(conditions, combination, strict=True):
                if _is_active(parameter.when, active):
                    active[parameter.key] = value
            points.add(tuple((key, to_stored(value)) for key, value in active.items()))
        rest = [p for p in self.parameters if p.key not in condition_keys]
        return sum(
            math.prod(p.count or 0 for p in rest if _is_active(p.when, dict(point))) for point in points
        )


def _verify_condition(parameter: Parameter, parsed: Mapping[str, Parameter]) -> None:
    for key, values in parameter.when.items():
        place = f"sweep.params.{parameter.key}.when"
        others = [name for name in parsed if name != parameter.key]
        if key not in others:
            raise UserError(f"{place}: {key} is not among the search parameters; {nearest(key, others)}")
        decider = parsed[key]
        if isinstance(decider, Range) and decider.count is None:
            raise UserError(f"{place}: {key} is continuous; give it choices or a step, or use another key")
        possible = [display(v) for v in values_of(decider)]
        for value in values:
            if value not in possible:
                raise UserError(f"{place}: {key} is never {value}; {nearest(value, possible)}")


def _ordered(parsed: Mapping[str, Parameter]) -> Iterator[Parameter]:
    remaining, placed = dict(parsed), set[str]()
    while remaining:
        ready = [key for key, parameter in remaining.items() if placed.issuperset(parameter.when)]
        if not ready:
            raise UserError(f"sweep.params: the conditions of {', '.join(remaining)} depend on each other")
        for key in ready:
            placed.add(key)
            yield remaining.pop(key)


def _enabling(parameter: Parameter, by_key: Mapping[str, Parameter]) -> Values:
    """Values of other parameters that activate a parameter."""
    values: Values = {}
    for key, allowed in parameter.when.items():
        decider = by_key[key]
        possible = values_of(decider)
        values |= {key: next(v for v in possible if display(v) in allowed), **_enabling(decider, by_key)}
    return values


def _is_active(when: Mapping[str, tuple[str, ...]], values: Mapping[str, Any]) -> bool:
    return all(key in values and display(values[key]) in allowed for key, allowed in when.items())
