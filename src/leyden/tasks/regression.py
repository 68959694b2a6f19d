"""`task=regression`: one or several numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import Kind, TargetReader, ValueReader
from leyden.decision.interval_rule import ConformalIntervals, coverage_of
from leyden.metrics.regression import evaluate_regression
from leyden.metrics.results import REGRESSION_METRICS, RegressionMetrics
from leyden.tasks.base import Arrays, Floats, Task
from leyden.tasks.errors import ErrorGroup, Mistake, group
from leyden.tasks.figures import Figure, PredictedActual, Residuals

LARGE = 0.9  # the quantile above which a residual is an error


class Regression(Task):
    """K numbers for each row; outputs and targets are (N, K) in the targets' units."""

    name: ClassVar[str] = "regression"
    kind: ClassVar[Kind] = "values"
    metrics: ClassVar[tuple[str, ...]] = REGRESSION_METRICS

    def reader(self) -> TargetReader:
        """A column of numbers for each target."""
        return ValueReader()

    def evaluate(
        self, outputs: Floats, targets: NDArray[Any], spec: DataSpec, decision: Any, intervals: bool
    ) -> RegressionMetrics:
        """Every metric; with conformal intervals their coverage and width as well."""
        found = evaluate_regression(outputs, targets, spec.target_names, intervals=intervals)
        if not decision.is_neutral:
            low, high = decision.bounds(outputs)
            found.values.update(coverage_of(low, high, targets))
        if (
            isinstance(decision, ConformalIntervals) and not decision.is_neutral
        ):  # no fold's: one for all rows
            found.values.update(decision.band(len(outputs)))
        return found

    def neutral(self, spec: DataSpec) -> ConformalIntervals:
        """Values without intervals."""
        return ConformalIntervals()

    def load_decision(self, stored: Mapping[str, Any]) -> ConformalIntervals:
        """The radius of each target's interval."""
        return ConformalIntervals.from_dict(stored)

    def scores(self, outputs: Floats, decision: Any) -> Floats:
        """Values (N, K) in the targets' units."""
        return outputs

    def predictions(self, outputs: Floats, targets: NDArray[Any], decision: Any) -> Arrays:
        """targets and values float32 (N, K); with conformal intervals low and high."""
        found = {"targets": targets.astype(np.float32), "values": outputs.astype(np.float32)}
        if decision.is_neutral:
            return found
        low, high = decision.bounds(outputs)
        return {**found, "low": low.astype(np.float32), "high": high.astype(np.float32)}

    def answers(self, outputs: Floats, spec: DataSpec, decision: Any, top: int) -> Iterator[dict[str, Any]]:
        """{values: {name: v}}, and with conformal intervals {intervals: {name: [low, high]}}."""
        low, high = (None, None) if decision.is_neutral else decision.bounds(outputs)
        for i, row in enumerate(outputs):
            answer: dict[str, Any] = {"values": dict(zip(spec.target_names, row.tolist(), strict=True))}
            if low is not None and high is not None:
                pairs = zip(spec.target_names, low[i].tolist(), high[i].tolist(), strict=True)
                answer["intervals"] = {name: [a, b] for name, a, b in pairs}
            yield answer

    def columns(self, answer: Mapping[str, Any]) -> dict[str, str | float]:
        """Each target, and where there are intervals its low and high."""
        found: dict[str, str | float] = {}
        for name, value in answer["values"].items():
            found[name] = value
            if "intervals" in answer:
                found |= dict(zip((f"{name}_low", f"{name}_high"), answer["intervals"][name], strict=True))
        return found

    def figures(
        self, found: Mapping[str, Any], stored: Arrays, spec: DataSpec, title: str
    ) -> Iterator[tuple[str, Figure]]:
        """Predicted against actual, and residuals, of each target."""
        for column, name in enumerate(spec.target_names):
            values, targets = stored["values"][:, column], stored["targets"][:, column]
            heading = f"{title}, {name}" if len(spec.target_names) > 1 else title
            suffix = f"/{name}" if len(spec.target_names) > 1 else ""
            yield f"predicted{suffix}", PredictedActual(values, targets, name, heading)
            yield f"residuals{suffix}", Residuals(values, targets, name, heading)

    def errors(self, stored: Arrays, spec: DataSpec, each: int) -> Sequence[ErrorGroup]:
        """The largest residuals of each target."""
        return [self._group(column, name, stored, each) for column, name in enumerate(spec.target_names)]

    def _group(self, column: int, name: str, stored: Arrays, each: int) -> ErrorGroup:
        values, targets = stored["values"][:, column], stored["targets"][:, column]
        worst = np.argsort(-np.abs(values - targets), kind="stable")[:each]

        def said(place: int) -> Mistake:
            answer, true = f"{values[place]:.4g}", f"{targets[place]:.4g}"
            words, loss = f"{answer}, true {true}", float(values[place] - targets[place]) ** 2
            return Mistake(f"{name} {words}", words, true, answer, loss=loss)

        return group(name, len(values), worst, said)

    def wrong(self, stored: Arrays) -> NDArray[np.bool_]:
        """A residual among the largest tenth, in units of its target's RMSE; of several targets the largest."""
        residuals = np.abs(stored["values"].astype(np.float64) - stored["targets"])
        scale = np.sqrt(np.mean(residuals**2, axis=0))
        largest = (residuals / np.where(scale > 0, scale, 1)).max(axis=1)
        found: NDArray[np.bool_] = largest > np.quantile(largest, LARGE)
        return found

    def sample_columns(self, stored: Arrays, spec: DataSpec) -> Mapping[str, Sequence[str]]:
        """Of each target what is true, what was answered, and the difference."""
        found: dict[str, Sequence[str]] = {}
        for column, name in enumerate(spec.target_names):
            values, targets = stored["values"][:, column], stored["targets"][:, column]
            found[f"{name} true"] = [f"{v:.4g}" for v in targets]
            found[f"{name} answered"] = [f"{v:.4g}" for v in values]
            found[f"{name} true - answered"] = [f"{v:.4g}" for v in targets - values]
        return found

    def trivial_outputs(self, spec: DataSpec) -> tuple[float, ...]:
        """The training mean, which is 0 once it is standardised."""
        return (0.0,) * spec.num_outputs
