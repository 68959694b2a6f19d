"""Every metric of a run: its task's and those of group `metrics`, for a validation epoch and for the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import kind_of
from leyden.metrics import bootstrap
from leyden.metrics.intervals import number, percentiles
from leyden.metrics.results import Estimate
from leyden.tasks.base import Decision, Floats, Task
from leyden.utils.errors import UserError

MetricFunction = Callable[[Floats, NDArray[Any]], float]


@dataclass(frozen=True)
class Metric:
    """A metric of group `metrics`.

    Args:
        function: scores (N, ...) and targets (N, ...) -> a number. Scores are probabilities (N, C) or (N, L), or values
            (N, K) in the targets' units.
        higher_is_better: whether the monitored value should grow.
    """

    function: MetricFunction
    higher_is_better: bool = True


@dataclass(frozen=True)
class Evaluator:
    """Outputs of a split to metrics.

    Args:
        task: of the run.
        spec: facts of its data.
        custom: metrics of group `metrics` by name.
    """

    task: Task
    spec: DataSpec
    custom: Mapping[str, Metric]

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric that there is."""
        return (*self.task.metrics, *self.custom)

    def undefined(self, targets: NDArray[Any]) -> list[str]:
        """The task's metrics that no outputs can define on these targets (N, ...), N > 0."""
        if kind_of(targets) == "classes":  # which of them are there decides, and three are as good as more
            targets = targets[np.unique(targets, return_index=True)[1][:3]]
        outputs = self.task.any_outputs(len(targets), self.spec)
        decision = self.task.neutral(self.spec)
        found = self.task.evaluate(outputs, targets, self.spec, decision, intervals=False).values
        return [name for name in self.task.metrics if found[name].value is None]

    def values(self, outputs: ArrayLike, targets: ArrayLike) -> dict[str, float]:
        """The defined values by name, without decision and intervals: of a validation epoch."""
        z, y = np.asarray(outputs, dtype=np.float64), np.asarray(targets)
        decision = self.task.neutral(self.spec)
        found = self.task.evaluate(z, y, self.spec, decision, intervals=False).values
        scores = self.task.scores(z, decision) if self.custom else z
        estimates = {**found, **self._custom(scores, y, intervals=False)}
        return {name: e.value for name, e in estimates.items() if e.value is not None}

    def evaluate(
        self, outputs: ArrayLike, targets: ArrayLike, decision: Decision, groups: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Of one split as result.json holds it; `before`: the values without the decision, where there is one.

        groups: (N,), of each sample; None: there are none.
        """
        z, y = np.asarray(outputs, dtype=np.float64), np.asarray(targets)
        found = self.task.evaluate_groups(z, y, self.spec, decision, groups)
        if self.custom:
            found.values.update(self._custom(self.task.scores(z, decision), y, intervals=True))
        stored = found.to_dict()
        return stored if decision.is_neutral else {**stored, "before": self.values(z, y)}

    def _custom(self, scores: Floats, targets: NDArray[Any], intervals: bool) -> dict[str, Estimate]:
        return {name: self._estimate(name, scores, targets, intervals) for name in self.custom}

    def _estimate(self, name: str, scores: Floats, targets: NDArray[Any], intervals: bool) -> Estimate:
        """The value, with a seeded bootstrap over samples."""
        value = self._call(name, scores, targets)
        if not intervals:
            return Estimate(number(value))
        rng = np.random.default_rng(0)
        times = bootstrap.resamples_for(len(targets))
        drawn = (rng.integers(0, len(targets), len(targets)) for _ in range(times))
        return percentiles(value, np.array([self._call(name, scores[i], targets[i]) for i in drawn]))

    def _call(self, name: str, scores: Floats, targets: NDArray[Any]) -> float:
        try:
            return float(self.custom[name].function(scores, targets))
        except Exception as error:
            raise UserError(f"metrics.{name} fails: {type(error).__name__}: {error}") from error


def names_of(task: Any, custom: Mapping[str, Any]) -> Sequence[str]:
    """Names that a run of this task (a class or an object) can monitor, less the prefix val/."""
    return ("loss", *getattr(task, "metrics", ()), *custom)
