"""Group `decision`: the criterion of the operating point, and its selection on the validation split.

Three priors: s, which the net answers by (the ledger's; where its loss is not proper, that of `answered_prior`); v, of
the validation samples, which are drawn as the evaluation's are (a long tail thins training rows alone); t, the stated
one that the model will meet.

- Shift: the net gives log p_s(y | x). Under t the classes' likelihoods are the same, so log p_t = log p_s + log t -
  log s + constant (Saerens et al. 2002). No sample is needed.
- Temperature: fitted on samples of prior v, so the likelihood to be maximised is that of softmax(z / T + log v - log s)
  and not of softmax(z / T): else T would make up for the shift between s and v, and be wrong everywhere else. This
  rather than weighting the samples by s / v, which leaves the rare classes' few samples to decide.
- Decisions: a criterion is measured under t, a sample of class c counting t_c / v_c, and where none is stated under v.
  (Recall and so balanced accuracy are the same under any prior; precision and F1 are not.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray

from leyden.decision import criteria
from leyden.decision.answered_prior import answered_prior
from leyden.decision.criteria import Criterion
from leyden.decision.operating_point import Floats, OperatingPoint, neutral
from leyden.decision.thresholds import best_offsets
from leyden.metrics.probabilities import log_softmax
from leyden.utils.errors import UserError, nearest

_SMALLEST = 1e-6  # share of a class that has none: its logarithm must be finite
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class DecisionRule:
    """What is wanted. The default is neutral: logits as they are, the most probable class.

    Args:
        temperature: whether to fit one.
        target_prior: the class shares that the model will meet: "as_trained" (no shift), "training" (those of the
            training rows, whatever sampling and loss made of them), "validation" (those of the validation rows),
            "uniform", or a share for each class by name. A class without training samples gets none: how likely it
            makes an input is not known.
        tau: how far to shift: 1 is Bayes' rule; for uniform this is post-hoc logit adjustment (Menon et al. 2021).
        criterion: what the answers maximise. unchanged: they stay the net's own, whatever is done to probabilities;
            recall: precision among answers that find `at_least` of class `of`; cost: minus the expected cost.
        of: the class of criterion=recall.
        at_least: its recall on validation.
        cost: {true class: {answer: cost}}; pairs left out cost 0 if right and 1 if wrong.
    """

    temperature: bool = False
    target_prior: Literal["as_trained", "training", "validation", "uniform"] | Mapping[str, float] = (
        "as_trained"
    )
    tau: Annotated[float, Ge(0)] = 1.0
    criterion: Literal["accuracy", "unchanged", "macro_f1", "balanced_accuracy", "recall", "cost"] = (
        "accuracy"
    )
    of: str | None = None
    at_least: Annotated[float, Interval(gt=0, le=1)] = 0.9
    cost: Mapping[str, Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        """Raises UserError where a criterion lacks what it needs."""
        if self.criterion == "recall" and self.of is None:
            raise UserError(
                "decision.of must be given for criterion=recall: add decision.of=CLASS to the command"
            )
        if self.criterion == "cost" and not self.cost:
            raise UserError(
                "decision.cost must be given for criterion=cost: add decision.cost={spam:{ham:1},ham:{spam:20}} to the "
                "command"
            )

    @property
    def neutral(self) -> bool:
        """Whether nothing is to be chosen."""
        return not self.temperature and self.target_prior == "as_trained" and self.criterion == "accuracy"

    @property
    def reads_validation(self) -> bool:
        """Whether validation samples are needed: for a shift to a known prior and known costs they are not."""
        return self.temperature or self.target_prior == "validation" or self.chooses_by_class

    @property
    def chooses_by_class(self) -> bool:
        """Whether the choice for a class rests on the validation samples of that class."""
        return self.criterion not in ("accuracy", "unchanged", "cost")

    def fit(
        self,
        logits: Floats,
        labels: NDArray[np.int64],
        class_names: Sequence[str],
        effective: Floats,
        training: Floats,
        exact: bool = True,
    ) -> OperatingPoint:
        """The operating point, from validation outputs alone.

        Args:
            logits: (N, C) of the validation split; N may be 0 where it is not read.
            labels: (N,).
            class_names: C names.
            effective: prior (C,) that the net was trained under, `leyden.imbalance.class_prior.ClassPrior.effective`.
            training: class shares (C,) of the training rows.
            exact: whether the net answers by `effective`; else by what `answered_prior` finds.

        Raises:
            UserError: a class that there is not, or shares and costs that are none.
        """
        z = np.asarray(logits, dtype=np.float64)
        target = self._target(class_names, effective, training, labels)
        if exact:
            temperature = _temperature(z, labels, effective) if self.temperature else 1.0
        elif self.temperature or target is not None:
            temperature, effective = answered_prior(z, labels, effective, self.temperature)
        else:
            temperature = 1.0
        shift = np.zeros(len(effective)) if target is None else _shift(target, effective, self.tau)
        costs = self._costs(class_names) if self.criterion == "cost" else ()
        point = replace(
            neutral(len(effective)),
            temperature=temperature,
            shift=tuple(shift.tolist()),
            decision=tuple((-shift if self.criterion == "unchanged" else np.zeros_like(shift)).tolist()),
            cost=costs,
            criterion=self.criterion,
        )
        if not len(labels):
            return point
        weights = _weights(labels, target, len(effective))
        if self.chooses_by_class:
            criterion, moving = self._criterion(class_names)
            starts = (
                np.zeros(len(effective)),
                -shift,
            )  # the second: the answers that the net gives by itself
            offsets = best_offsets(point.log_probabilities(z), labels, weights, criterion, moving, starts)
            point = replace(point, decision=tuple(offsets.tolist()))
        answers = point.decide(point.log_probabilities(z))
        before, after = (self._value(class_names, a, labels, weights) for a in (z.argmax(1), answers))
        return replace(point, chosen_on={"split": "val", "n": len(labels), "before": before, "after": after})

    def verify(self, class_names: Sequence[str]) -> None:
        """Raises UserError for a class that there is not: before training, not after."""
        shares = np.full(len(class_names), 1 / len(class_names))
        self._target(class_names, shares, shares, np.zeros(0, np.int64))
        self._criterion(class_names)
        if self.cost:  # else nothing is named, and the table of all pairs of many classes is large
            self._costs(class_names)

    def _target(
        self, names: Sequence[str], effective: Floats, training: Floats, labels: NDArray[np.int64]
    ) -> Floats | None:
        """The shares (C,) that are stated; None: none are."""
        if self.target_prior == "as_trained":
            return None
        if isinstance(self.target_prior, Mapping):
            target = _shares(self.target_prior, names)
        elif self.target_prior == "validation":  # and one sample more, of the training shares: none is 0
            target = np.bincount(labels, minlength=len(names)) + training
        else:
            target = np.asarray(training if self.target_prior == "training" else np.ones(len(names)))
        target = np.where((effective > 0) & (training > 0), target, 0.0)
        if not target.sum() > 0:
            raise UserError(
                "decision.target_prior: no class that has training samples has a share; give it one"
            )
        return np.asarray(target / target.sum())

    def _criterion(self, names: Sequence[str]) -> tuple[Criterion, Sequence[int]]:
        """What is maximised, and the classes whose offsets may move."""
        if self.criterion == "recall":
            k = _place(self.of or "", names, "decision.of")
            return criteria.precision_at_recall(k, self.at_least), (k,)
        by_name = {"macro_f1": criteria.macro_f1, "balanced_accuracy": criteria.balanced_accuracy}
        return by_name.get(self.criterion, criteria.accuracy), range(len(names)) if len(names) > 2 else (1,)

    def _costs(self, names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        table = 1.0 - np.eye(len(names))
        for true, row in (self.cost or {}).items():
            for answer, cost in row.items():
                at = tuple(_place(name, names, "decision.cost") for name in (true, answer))
                if not np.isfinite(cost):
                    raise UserError(f"decision.cost.{true}.{answer}: expected a number, got {cost}")
                table[at] = float(cost)
        return tuple(map(tuple, table.tolist()))

    def _value(
        self, names: Sequence[str], answers: NDArray[np.int64], labels: NDArray[np.int64], weights: Floats
    ) -> float | None:
        """What the criterion is with these answers, of costs their mean; None: what recall asks for is not reached."""
        if self.criterion == "cost":
            return float(np.average(np.array(self._costs(names))[labels, answers], weights=weights))
        found = criteria.value(self._criterion(names)[0], answers, labels, weights, len(names))
        return found if np.isfinite(found) else None


def _shares(given: Mapping[str, float], names: Sequence[str]) -> Floats:
    unknown = [name for name in given if name not in names]
    missing = [name for name in names if name not in given]
    if unknown:
        raise UserError(
            f"decision.target_prior: there is no class {unknown[0]!r}; {nearest(unknown[0], names)}"
        )
    if missing:
        raise UserError(f"decision.target_prior: a share for each class is expected, {missing[0]!r} has none")
    for name, share in given.items():
        if not 0 <= share < np.inf:
            raise UserError(f"decision.target_prior.{name}: expected a share of 0 or more, got {share}")
    return np.array([float(given[name]) for name in names])


def _shift(target: Floats, effective: Floats, tau: float) -> Floats:
    log_target, log_effective = (np.log(np.maximum(p / p.sum(), _SMALLEST)) for p in (target, effective))
    shift = tau * (log_target - log_effective)
    return np.asarray(shift - shift.max())


def _weights(labels: NDArray[np.int64], target: Floats | None, classes: int) -> Floats:
    """What each sample (N,) counts: t_c / v_c, or 1 where no t is stated, or none of its classes has samples."""
    counts = np.bincount(labels, minlength=classes)
    if target is None or not target[counts > 0].sum() > 0:
        return np.ones(len(labels))
    return np.asarray((target * len(labels) / np.maximum(counts, 1))[labels])


def _place(name: str, names: Sequence[str], key: str) -> int:
    if name not in names:
        raise UserError(f"{key}: there is no class {name!r}; {nearest(name, names)}")
    return list(names).index(name)


def _temperature(z: Floats, labels: NDArray[np.int64], effective: Floats) -> float:
    """T of least log loss of softmax(z / T + log v - log s), by golden section over log T; 1 without samples.

    Samples of a class that training had none of say nothing of T and are left out.
    """
    known = effective[labels] > 0
    if not known.any():
        return 1.0
    z, labels = z[known], labels[known]
    shares = np.bincount(labels, minlength=len(effective)) / len(labels)
    log_v, log_s = (np.log(np.maximum(p, _SMALLEST)) for p in (shares, effective))

    def loss(log_t: float) -> float:
        log_p = log_softmax(z / np.exp(log_t) + log_v - log_s)
        return -float(log_p[np.arange(len(labels)), labels].mean())

    low, high = np.log(_TEMPERATURES)
    ratio = (np.sqrt(5) - 1) / 2
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [loss(x) for x in inner]
    while high - low > 1e-4:  # the loss is convex in 1/T, so it has one minimum in log T, too
        if values[0] < values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = loss(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = loss(inner[1])
    return float(np.exp((low + high) / 2))
