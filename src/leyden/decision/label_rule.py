"""Rules of group `decision` for task=multilabel: a threshold for each label, or another prior of each label."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy.special import expit, logit

from leyden.decision.answered_prior import answered_prior
from leyden.decision.label_thresholds import best_label_thresholds
from leyden.utils.errors import UserError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelThresholds:
    """A label is predicted where its shifted logit plus an offset is above 0.

    Attributes:
        offsets: (L,).
        criterion: what they maximise on validation.
        chosen_on: the split and its size, and the criterion's value before and after.
        shift: (L,), added to the logits, of which probabilities are made; (): nothing is.
    """

    offsets: tuple[float, ...]
    criterion: str = "none"
    chosen_on: Mapping[str, Any] = field(default_factory=dict)
    shift: tuple[float, ...] = ()

    @property
    def is_neutral(self) -> bool:
        """Whether a label is predicted where the net finds it more probable than not."""
        return not any(self.offsets) and not any(self.shift)

    def shifted(self, logits: Floats) -> Floats:
        """(N, L)."""
        return logits + np.array(self.shift) if self.shift else logits

    def decide(self, logits: Floats) -> NDArray[np.bool_]:
        """(N, L) of the net's own logits."""
        return np.asarray(self.shifted(logits) + np.array(self.offsets) > 0)

    def to_dict(self) -> dict[str, Any]:
        """Lists, not tuples; thresholds are the probabilities above which a label is predicted."""
        offsets = np.array(self.offsets)
        lists = {"offsets": list(self.offsets), "shift": list(self.shift)}
        return {**asdict(self), **lists, "thresholds": expit(-offsets).tolist()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "LabelThresholds":
        """As it was before `to_dict` and JSON; ValueError where a part is missing or of another type."""
        return TypeAdapter(cls).validate_python(stored)


@dataclass(frozen=True)
class LabelRule:
    """Thresholds that maximise F1 on the validation split.

    Args:
        criterion: macro_f1: of each label by itself; micro_f1: of all decisions together.
    """

    task: ClassVar[str] = "multilabel"
    neutral: ClassVar[bool] = False
    reads_validation: ClassVar[bool] = True
    chooses_by_class: ClassVar[bool] = True  # each label's threshold rests on its own positives

    criterion: Literal["macro_f1", "micro_f1"] = "macro_f1"

    def fit(
        self,
        logits: Floats,
        targets: NDArray[Any],
        names: Sequence[str],
        effective: Floats,
        training: Floats,
        exact: bool = True,
    ) -> LabelThresholds:
        """Of validation logits (N, L) and targets (N, L); the label priors are not used."""
        offsets = best_label_thresholds(logits, targets, self.criterion)
        made = LabelThresholds(tuple(offsets.tolist()), self.criterion)
        before, after = (_f1(d, targets, self.criterion) for d in (logits > 0, made.decide(logits)))
        chosen = {"split": "val", "n": len(targets), "before": before, "after": after}
        return LabelThresholds(made.offsets, self.criterion, chosen)


@dataclass(frozen=True)
class LabelPriorRule:
    """Probabilities for another share of each label than the one that the net was trained under.

    logit p + logit(target) - logit(effective), exact where the labels' shares are all that differs (Saerens et al.
    2002, for the two classes of each label).

    Args:
        target_prior: training: the shares of the training rows; uniform: one half.
    """

    task: ClassVar[str] = "multilabel"
    neutral: ClassVar[bool] = False
    reads_validation: ClassVar[bool] = False
    chooses_by_class: ClassVar[bool] = False

    target_prior: Literal["training", "uniform"]

    def fit(
        self,
        logits: Floats,
        targets: NDArray[Any],
        names: Sequence[str],
        effective: Floats,
        training: Floats,
        exact: bool = True,
    ) -> LabelThresholds:
        """The shift from the `effective` shares (L,); 0 for a label that all or no training rows have.

        Where they are not `exact` they are estimated on validation logits (N, L) and targets (N, L).

        Raises:
            UserError: the run is of a version that did not store them.
        """
        if len(effective) != len(names):
            raise UserError("decision: the run stores no prior of its labels; train it again (force=true)")
        if not exact:
            _, effective = answered_prior(logits, targets, effective)
        open_ = (effective > 0) & (effective < 1)
        target = logit(training) if self.target_prior == "training" else np.zeros(len(effective))
        shift = np.subtract(target, logit(effective), out=np.zeros(len(effective)), where=open_)
        return LabelThresholds((0.0,) * len(names), shift=tuple(shift.tolist()))


def _f1(decided: NDArray[np.bool_], targets: NDArray[Any], criterion: str) -> float:
    """Macro or micro F1 of decisions (N, L); labels without positives are no part of the macro mean."""
    truth = targets > 0.5
    axis = 0 if criterion == "macro_f1" else None
    hits, sizes = (decided & truth).sum(axis), decided.sum(axis) + truth.sum(axis)
    f1 = 2 * hits / np.maximum(sizes, 1)
    return float(f1[truth.any(0)].mean() if axis == 0 else f1)
