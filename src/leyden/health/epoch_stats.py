"""What is known of each epoch of a training, and of its validation split. Plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from leyden.data.targets import Kind


@dataclass
class EpochStats:
    """Statistics of one epoch.

    Args:
        step: optimizer steps at its end.
        scalars: logged metrics: "train/accuracy", "val/loss", ...
        rate: the largest learning rate of a step.
        predicted: of the validation predictions the share of each class (C,) or of each label (L,), or the deviation of
            each value (K,) over that of its target in train, or the share of frames that are blank (1,); empty if
            predictions are not stored.
        update: update-to-weight ratio of the last measured step, by layer.
        gradient: gradient norm of the last measured step, by layer.
        dead: share of dead ReLU channels in a validation batch, by layer.
        saturated: share of saturated recurrent units in a validation batch, by layer.
        waiting: share of the training time spent waiting for data.
    """

    step: int
    scalars: dict[str, float]
    rate: float
    predicted: list[float] = field(default_factory=list)
    update: dict[str, float] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    saturated: dict[str, float] = field(default_factory=dict)
    waiting: float = 0.0

    def get(self, name: str) -> float | None:
        """The logged metric `name`; None if it was not logged."""
        return self.scalars.get(name)


@dataclass(frozen=True)
class ValidationFacts:
    """Facts of the validation split.

    Args:
        shares: of each class (C,) or label (L,) in its samples; empty for values.
        samples: how many there are.
        names: of classes, labels or values.
        kind: of the targets.
    """

    shares: Sequence[float]
    samples: int
    names: Sequence[str]
    kind: Kind = "classes"


def last_value(epochs: Sequence[EpochStats], name: str) -> float:
    """The metric `name` of the last epoch; infinite if it was not logged."""
    value = epochs[-1].get(name)
    return float("inf") if value is None else value
