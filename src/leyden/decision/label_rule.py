"""Rules of group `decision` for task=multilabel: a threshold for each label, chosen on validation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from leyden.decision.label_thresholds import best_label_thresholds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelThresholds:
    """A label is predicted where its logit plus an offset is above 0.

    Attributes:
        offsets: (L,).
        criterion: what they maximise on validation.
        chosen_on: the split and its size, and the criterion's value before and after.
    """

    offsets: tuple[float, ...]
    criterion: str = "none"
    chosen_on: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_neutral(self) -> bool:
        """Whether a label is predicted where it is more probable than not."""
        return not any(self.offsets)

    def decide(self, logits: Floats) -> NDArray[np.bool_]:
        """(N, L)."""
        return np.asarray(logits + np.array(self.offsets) > 0)

    def to_dict(self) -> dict[str, Any]:
        """Lists, not tuples; thresholds are the probabilities above which a label is predicted."""
        offsets = np.array(self.offsets)
        return {**asdict(self), "offsets": list(self.offsets), "thresholds": expit(-offsets).tolist()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "LabelThresholds":
        """As it was before `to_dict` and JSON."""
        return cls(tuple(stored["offsets"]), stored["criterion"], stored["chosen_on"])


@dataclass(frozen=True)
class LabelRule:
    """Thresholds that maximise F1 on the validation split.

    Args:
        criterion: macro_f1: of each label by itself; micro_f1: of all decisions together.
    """

    task: ClassVar[str] = "multilabel"
    neutral: ClassVar[bool] = False
    reads_validation: ClassVar[bool] = True

    criterion: Literal["macro_f1", "micro_f1"] = "macro_f1"

    def fit(
        self,
        logits: Floats,
        targets: NDArray[Any],
        names: Sequence[str],
        effective: Floats,
        training: Floats,
    ) -> LabelThresholds:
        """Of validation logits (N, L) and targets (N, L); the class priors `effective` and `training` are not used."""
        offsets = best_label_thresholds(logits, targets, self.criterion)
        made = LabelThresholds(tuple(offsets.tolist()), self.criterion)
        before, after = (_f1(d, targets, self.criterion) for d in (logits > 0, made.decide(logits)))
        chosen = {"split": "val", "n": len(targets), "before": before, "after": after}
        return LabelThresholds(made.offsets, self.criterion, chosen)


def _f1(decided: NDArray[np.bool_], targets: NDArray[Any], criterion: str) -> float:
    """Macro or micro F1 of decisions (N, L); labels without positives are no part of the macro mean."""
    truth = targets > 0.5
    axis = 0 if criterion == "macro_f1" else None
    hits, sizes = (decided & truth).sum(axis), decided.sum(axis) + truth.sum(axis)
    f1 = 2 * hits / np.maximum(sizes, 1)
    return float(f1[truth.any(0)].mean() if axis == 0 else f1)
