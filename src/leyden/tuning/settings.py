"""Node `sweep` of a search: search space, number of trials, sampler, pruner and objectives.

settings = Settings.of({"params": {"optimizer.lr": {"low": 1e-4, "high": 0.1, "log": True}}, "trials": 20})
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationError

from leyden.config.schema import Node, file_name
from leyden.config.signatures import as_typed, reason
from leyden.runs.records import Record
from leyden.utils.errors import UserError, nearest

Direction = Literal["maximize", "minimize"]
_COSTS = ("seconds", "samples_per_second", "parameters", "steps")


class Goal(NamedTuple):
    """An objective: its name, such as val/accuracy or cost.parameters, and its direction."""

    name: str
    direction: Direction

    def of(self, record: Record) -> float | None:
        """Value of the objective in a finished run; None if it has none."""
        if record.best.get("monitor") == self.name:
            return float(record.best["value"])
        if self.name.startswith("cost."):
            return (record.result.get("cost") or {}).get(self.name.removeprefix("cost."))
        return record.metric(self.name.partition("/")[0], self.name.rpartition("/")[2])


class Settings(Node):
    """Group `sweep`.

    Args:
        params: the search space, see `Space.of`.
        trials: total number of trials, including those of earlier launches.
        sampler: Optuna's sampler.
        seed: seed of the sampler.
        startup: random trials before the sampler uses results, and finished trials before the pruner prunes.
        pruner: Optuna's pruner.
        warmup: epochs of a run that are never pruned.
        objectives: metrics to optimise; empty: the monitored metric.
        directions: direction of each objective; empty: by the metric.
        study: first part of the name of the study's folder; None: the name of the option.
        storage: URL of a database; None: SQLite in the study's folder.
    """

    params: dict[str, Any] = Field(default={})
    trials: Annotated[int, Field(ge=1)] = 20
    sampler: Literal["tpe", "random", "gp", "cmaes", "nsga2", "qmc", "grid"] = "tpe"
    seed: Annotated[int, Field(ge=0)] = 1
    startup: Annotated[int, Field(ge=1)] = 10
    pruner: Literal["none", "median", "hyperband"] = "none"
    warmup: Annotated[int, Field(ge=0)] = 1
    objectives: list[str] = Field(default=[])
    directions: list[Direction] = Field(default=[])
    study: Annotated[str, Field(min_length=1), AfterValidator(file_name)] | None = None
    storage: str | None = None

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "Settings":
        """Validate a composed node.

        Raises:
            UserError: a field does not exist, or has an invalid value.
        """
        for name in node:
            if name not in cls.model_fields:
                raise UserError(
                    f"sweep.{name}: there is no such field; {nearest(str(name), cls.model_fields)}"
                )
        try:
            return cls.model_validate(dict(node))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            path = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"sweep.{path}={as_typed(first['input'])}: {reason([first], first['input'])}"
            ) from None

    def goals(self, monitor: str, directions: Mapping[str, bool]) -> list[Goal]:
        """The objectives with their directions; by default the monitored metric.

        Args:
            monitor: the monitored metric.
            directions: whether higher is better, of each metric of validation, such as val/accuracy.

        Raises:
            UserError: an unknown objective, one of the test split, or not as many directions as objectives.
        """
        names = self.objectives or [monitor]
        if self.directions and len(self.directions) != len(names):
            raise UserError(
                f"sweep.directions: expected one for each of {', '.join(names)}, got {len(self.directions)}"
            )
        for name in self.objectives:
            _verify(name, (monitor, *directions))
        return [
            Goal(name, self.directions[i] if self.directions else _direction(name, directions))
            for i, name in enumerate(names)
        ]


def _verify(name: str, metrics: Sequence[str]) -> None:
    known = [*metrics, *(f"cost.{cost}" for cost in _COSTS)]
    if name.startswith("test/"):
        raise UserError(
            f"sweep.objectives: {name} would select by the test split; use a metric of validation, val/..."
        )
    if name not in known:
        raise UserError(f"sweep.objectives: {name} is not a metric of a run; {nearest(name, known)}")


def _direction(name: str, directions: Mapping[str, bool]) -> Direction:
    from leyden.metrics import higher_is_better

    if name.startswith("cost."):
        return "maximize" if name == "cost.samples_per_second" else "minimize"
    return "maximize" if directions.get(name, higher_is_better(name)) else "minimize"


def verify_goals(settings: Settings, goals: Sequence[Goal]) -> None:
    """Refuse settings that Optuna does not support with several objectives.

    Raises:
        UserError: pruning, or a sampler for a single objective.
    """
    if len(goals) > 1 and settings.pruner != "none":
        raise UserError(
            f"sweep.pruner={settings.pruner}: pruning is not supported with several objectives; use sweep.pruner=none"
        )
    if len(goals) > 1 and settings.sampler == "cmaes":
        raise UserError("sweep.sampler=cmaes supports one objective only; with several use tpe, gp or nsga2")
