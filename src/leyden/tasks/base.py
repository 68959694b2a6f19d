"""What shared code asks of a task, and what a user's own task implements (derive from `Task`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import Kind, TargetReader
from leyden.metrics.results import Estimate
from leyden.tasks.errors import ErrorGroup
from leyden.tasks.figures import Figure
from leyden.utils.errors import UserError

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]


class Evaluation(Protocol):
    """Metrics of one split."""

    @property
    def values(self) -> dict[str, Estimate]:
        """By name, in the order in which they are shown."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into result.json."""


class Decision(Protocol):
    """What is done to outputs, chosen on validation: an operating point, thresholds, conformal intervals."""

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into operating_point.json."""


class Task:
    """Base of all tasks; the defaults are those of a task without classes.

    Attributes:
        name: as in messages.
        kind: of the targets.
        metrics: names that `evaluate` gives, in the order in which they are shown.
        has_class_prior: whether rows have one class each, so that samplers, long tails, prior corrections and
            label-noise checks apply.
        pieces: how many pieces of words transcripts are cut into; 0: units as they are read.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    metrics: ClassVar[tuple[str, ...]]
    has_class_prior: ClassVar[bool] = False
    pieces: int = 0

    def reader(self) -> TargetReader:
        """What makes targets of a table's label columns."""
        raise NotImplementedError

    def evaluate(
        self, outputs: Floats, targets: NDArray[Any], spec: DataSpec, decision: Decision, intervals: bool
    ) -> Evaluation:
        """Every metric of one split. outputs (N, ...), targets (N, ...) as the module keeps them."""
        raise NotImplementedError

    def evaluate_groups(
        self,
        outputs: Floats,
        targets: NDArray[Any],
        spec: DataSpec,
        decision: Decision,
        groups: Sequence[str] | None,
        intervals: bool = True,
    ) -> Evaluation:
        """As `evaluate`; groups (N,), such as speakers, or None: here they play no part."""
        return self.evaluate(outputs, targets, spec, decision, intervals)

    def any_outputs(self, samples: int, spec: DataSpec, decision: Decision | None = None) -> Floats:
        """Outputs as a module of this task may keep them, at random: (samples, num_outputs).

        decision: of a run, where the shape follows from it.
        """
        return np.random.default_rng(0).normal(size=(samples, spec.num_outputs))

    def neutral(self, spec: DataSpec) -> Decision:
        """The decision that changes nothing."""
        raise NotImplementedError

    def without_rule(
        self, spec: DataSpec, outputs: Callable[[str], tuple[Floats, NDArray[Any]] | None]
    ) -> Decision:
        """The decision of a trained net for which no rule is chosen: that which changes nothing.

        Args:
            spec: facts of the data.
            outputs: split -> its outputs and targets, train as well, where a task needs them; None: there are none.
        """
        return self.neutral(spec)

    def load_decision(self, stored: Mapping[str, Any]) -> Decision:
        """A decision as it was before `to_dict` and JSON."""
        raise NotImplementedError

    def verify_rule(self, rule: Any, spec: DataSpec) -> None:
        """Refuse a rule of group `decision` that is for another task.

        Raises:
            UserError: with the tasks that it is for.
        """
        wanted = getattr(rule, "task", "classification")
        if not rule.neutral and wanted != self.name:
            raise UserError(
                f"decision: {type(rule).__name__} is for task={wanted}, this run has task={self.name}: "
                "choose decision=none, or another (`leyden list decision`)"
            )

    def scores(self, outputs: Floats, decision: Decision) -> Floats:
        """What a metric of the user's own is computed from: probabilities, or values in the targets' units."""
        raise NotImplementedError

    def predictions(self, outputs: Floats, targets: NDArray[Any], decision: Decision) -> Arrays:
        """What predictions/<split>.npz holds besides `rows`: arrays (N, ...) by name."""
        raise NotImplementedError

    def answers(
        self, outputs: Floats, spec: DataSpec, decision: Decision, top: int
    ) -> Iterator[dict[str, Any]]:
        """What `leyden predict` prints of each input, as plain values."""
        raise NotImplementedError

    def words(
        self, outputs: Floats, spec: DataSpec, decision: Decision, seconds: Sequence[float]
    ) -> Iterator[list[dict[str, Any]]]:
        """The words of each input, which lasts so many seconds, with their times; of a task with transcripts.

        Raises:
            UserError: this is none.
        """
        raise UserError(f"--words: an answer of task={self.name} has no words; it is for task=ctc")

    def nearest(
        self, outputs: Floats, gallery: Floats, spec: DataSpec, names: Sequence[str], top: int
    ) -> Iterator[list[dict[str, Any]]]:
        """The named samples of a gallery that are nearest to each sample; of a task with embeddings.

        Raises:
            UserError: this is none.
        """
        raise UserError(
            f"--gallery: task={self.name} has no embeddings to compare; it is for task=contrastive"
        )

    def columns(self, answer: Mapping[str, Any]) -> dict[str, str | float]:
        """An answer as named cells of one row: of a table or CSV file."""
        raise NotImplementedError

    def figures(
        self, found: Mapping[str, Any], stored: Arrays, spec: DataSpec, title: str
    ) -> Iterator[tuple[str, Figure]]:
        """(name, figure) of an evaluation, as plain data that `leyden.reporting` draws.

        Args:
            found: of one split, as `evaluate` gave it and result.json holds it.
            stored: its predictions.
            spec: facts of the data.
            title: of the split, before each figure's own.
        """
        yield from ()

    def errors(self, stored: Arrays, spec: DataSpec, each: int) -> Sequence[ErrorGroup]:
        """The errors of a split by true class, label or number, those with the most first.

        Args:
            stored: its predictions.
            spec: facts of the data.
            each: how many of each are named, the worst first.
        """
        return ()

    def wrong(self, stored: Arrays) -> NDArray[np.bool_]:
        """Whether each row (N,) of a split's predictions is an error; none, as it stands."""
        return np.zeros(len(stored["rows"]), dtype=bool)

    def sample_columns(self, stored: Arrays, spec: DataSpec) -> Mapping[str, Sequence[str]]:
        """What is known of each row (N,) of a split's predictions, by name: the truth, the answer."""
        return {}

    def trivial_outputs(self, spec: DataSpec) -> tuple[float, ...]:
        """Outputs (num_outputs,) of the best constant prediction: what `model=majority` gives for every input."""
        raise NotImplementedError


class GroupedTask(Task):
    """A task whose intervals depend on the groups of samples, such as speakers; it gives `evaluate_groups`."""

    def evaluate(
        self, outputs: Floats, targets: NDArray[Any], spec: DataSpec, decision: Decision, intervals: bool
    ) -> Evaluation:
        """As `evaluate_groups`, of samples without groups."""
        return self.evaluate_groups(outputs, targets, spec, decision, None, intervals)
