"""What an operating point is, and what it does to logits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from leyden.metrics.probabilities import log_softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """log p = log softmax(z / T + b); the prediction is argmax(log p + d), or the class of least expected cost.

    Attributes:
        temperature: T (Guo et al. 2017, arXiv 1706.04599).
        shift: b (C,), log target prior - log prior that the net was trained under (Saerens et al. 2002).
        decision: d (C,).
        cost: (C, C), of answering k (column) where c (row) is true (Elkan 2001); empty: d decides.
        criterion: what the decision is for.
        chosen_on: the split and its size, and what the criterion was before and after.
    """

    temperature: float
    shift: tuple[float, ...]
    decision: tuple[float, ...]
    cost: tuple[tuple[float, ...], ...] = ()
    criterion: str = "accuracy"
    chosen_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_neutral(self) -> bool:
        """Whether it leaves logits and predictions unchanged."""
        return self.temperature == 1 and not any(self.shift) and not any(self.decision) and not self.cost

    def log_probabilities(self, logits: Floats) -> Floats:
        """(N, C) -> float64 (N, C)."""
        return log_softmax(np.asarray(logits, dtype=np.float64) / self.temperature + np.array(self.shift))

    def decide(self, log_probabilities: Floats) -> NDArray[np.int64]:
        """The predicted classes (N,)."""
        if self.cost:
            return np.asarray((np.exp(log_probabilities) @ np.array(self.cost)).argmin(1))
        moved = log_probabilities + np.array(self.decision) if any(self.decision) else log_probabilities
        return np.asarray(moved.argmax(1))

    def to_dict(self) -> dict[str, Any]:
        """As it is stored in operating_point.json: lists, not tuples."""
        lists = {
            "shift": list(self.shift),
            "decision": list(self.decision),
            "cost": [list(row) for row in self.cost],
        }
        return {**asdict(self), **lists}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "OperatingPoint":
        """As it was before `to_dict` and JSON; ValueError where a part is missing or of another type."""
        return TypeAdapter(cls).validate_python(stored)


def neutral(num_classes: int) -> OperatingPoint:
    """Logits as they are, the most probable class."""
    zeros = (0.0,) * num_classes
    return OperatingPoint(1.0, zeros, zeros)
