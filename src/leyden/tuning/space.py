"""What a search may choose: ranges and choices by key, some of them under a condition. No Optuna here.

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

Values = dict[str, Any]  # key -> value of every parameter that is there


@dataclass(frozen=True)
class Space:
    """The parameters in an order in which each stands after those that decide whether it is there."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Space":
        """Read the node `params` of a search.

        Raises:
            UserError: a range or a condition that makes no sense; the message names the parameter.
        """
        read = {key: parameter_of(str(key), node) for key, node in params.items()}
        for parameter in read.values():
            _verify_condition(parameter, read)
        return cls(tuple(_ordered(read)))

    def draw(self, trial: Any) -> Values:
        """A value of each parameter that is there, from an Optuna trial."""
        values: Values = {}
        for parameter in self.parameters:
            if _holds(parameter.when, values):
                values[parameter.key] = parameter.draw(trial)
        return values

    def probes(self) -> Iterator[Values]:
        """Points in which every choice and every end of a range occurs: if these can be run, others can."""
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
            if _holds(parameter.when, values):
                values[parameter.key] = fixed.get(parameter.key, parameter.probes()[0])
        return values

    def size(self) -> int | None:
        """How many points there are; None: they cannot be counted."""
        if any(parameter.count is None for parameter in self.parameters):
            return None
        asked = {key for parameter in self.parameters for key in parameter.when}
        deciding = [p for p in self.parameters if p.key in asked]
        values = [values_of(p) for p in deciding]
        points: set[tuple[tuple[str, Any], ...]] = set()
        for combination in itertools.product(*values):
            there: Values = {}
            for parameter, value in zip(deciding, combination, strict=True):
                if _holds(parameter.when, there):
                    there[parameter.key] = value
            points.add(tuple((key, to_stored(value)) for key, value in there.items()))
        rest = [p for p in self.parameters if p.key not in asked]
        return sum(math.prod(p.count or 0 for p in rest if _holds(p.when, dict(point))) for point in points)


def _verify_condition(parameter: Parameter, read: Mapping[str, Parameter]) -> None:
    for key, values in parameter.when.items():
        place = f"sweep.params.{parameter.key}.when"
        others = [name for name in read if name != parameter.key]
        if key not in others:
            raise UserError(f"{place}: {key} is not among the parameters; {nearest(key, others)}")
        decider = read[key]
        if isinstance(decider, Range) and decider.count is None:
            raise UserError(f"{place}: {key} has no single values to compare with; give it choices or a step")
        possible = [display(v) for v in values_of(decider)]
        for value in values:
            if value not in possible:
                raise UserError(f"{place}: {key} is never {value}; {nearest(value, possible)}")


def _ordered(read: Mapping[str, Parameter]) -> Iterator[Parameter]:
    waiting, placed = dict(read), set[str]()
    while waiting:
        ready = [key for key, parameter in waiting.items() if placed.issuperset(parameter.when)]
        if not ready:
            raise UserError(f"sweep.params: the conditions of {', '.join(waiting)} wait for each other")
        for key in ready:
            placed.add(key)
            yield waiting.pop(key)


def _enabling(parameter: Parameter, by_key: Mapping[str, Parameter]) -> Values:
    """Values of the others under which a parameter is there."""
    values: Values = {}
    for key, allowed in parameter.when.items():
        decider = by_key[key]
        possible = values_of(decider)
        values |= {key: next(v for v in possible if display(v) in allowed), **_enabling(decider, by_key)}
    return values


def _holds(when: Mapping[str, tuple[str, ...]], values: Mapping[str, Any]) -> bool:
    return all(key in values and display(values[key]) in allowed for key, allowed in when.items())
