"""Group `operating`: which operating point is wanted, and its choice on the validation split.

Which prior belongs to what: a net trained under the prior s (the ledger's) answers log p_s(y | x). Under another
prior t the classes' likelihoods are the same, so log p_t = log p_s + log t - log s + constant (Saerens et al.
2002). The temperature is fitted on validation samples, whose prior v is their own shares; so the likelihood that it
is to maximise is that of softmax(z / T + log v - log s), and not of softmax(z / T): else T would make up for the
shift between s and v, and be wrong everywhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray

from leyden.errors import UserError, nearest
from leyden.metrics.counts import Counts, divide
from leyden.operating.point import Floats, OperatingPoint, log_softmax, neutral
from leyden.operating.thresholds import Aim, best_offsets, margins

_SMALLEST = 1e-6  # share of a class that has none: its logarithm must be finite
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Choice:
    """What is wanted. The default is neutral: logits as they are, the most probable class.

    Args:
        temperature: whether to fit one.
        target_prior: the class shares that the model will meet: "as_trained" (no shift), "training" (those of the
            training rows, whatever sampling and objective made of them), "uniform", or a share for each class by name.
        tau: how far to shift: 1 is Bayes' rule; for uniform this is post-hoc logit adjustment (Menon et al. 2021).
        aim: what the answers are to be best at. recall: the most precise answers that find `at_least` of class `of`;
            cost: the least expected cost.
        of: the class of aim=recall.
        at_least: its recall on validation.
        cost: {true class: {answer: cost}}; pairs left out cost 0 if right and 1 if wrong.
    """

    temperature: bool = False
    target_prior: Literal["as_trained", "training", "uniform"] | Mapping[str, float] = "as_trained"
    tau: Annotated[float, Ge(0)] = 1.0
    aim: Literal["accuracy", "macro_f1", "balanced_accuracy", "recall", "cost"] = "accuracy"
    of: str | None = None
    at_least: Annotated[float, Interval(gt=0, le=1)] = 0.9
    cost: Mapping[str, Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        """Raises UserError where an aim lacks what it needs."""
        if self.aim == "recall" and self.of is None:
            raise UserError(
                "operating.of must be given for aim=recall: add operating.of=CLASS to the command"
            )
        if self.aim == "cost" and not self.cost:
            raise UserError(
                "operating.cost must be given for aim=cost: add operating.cost={spam:{ham:1},ham:{spam:20}} to the "
                "command"
            )

    @property
    def neutral(self) -> bool:
        """Whether nothing is to be chosen."""
        return not self.temperature and self.target_prior == "as_trained" and self.aim == "accuracy"

    @property
    def reads_validation(self) -> bool:
        """Whether validation samples are needed: a shift to a known prior and known costs are not."""
        return self.temperature or self.aim not in ("accuracy", "cost")

    def fit(
        self,
        logits: Floats,
        labels: NDArray[np.int64],
        class_names: Sequence[str],
        seen: Floats,
        training: Floats,
    ) -> OperatingPoint:
        """The operating point, from validation outputs alone.

        Args:
            logits: (N, C) of the validation split; N may be 0 where it is not read.
            labels: (N,).
            class_names: C names.
            seen: prior (C,) that the net was trained under, `leyden.data.ledger.Prior.seen`.
            training: class shares (C,) of the training rows.

        Raises:
            UserError: a class that there is not.
        """
        z = np.asarray(logits, dtype=np.float64)
        start = neutral(len(class_names))
        temperature = _temperature(z, labels, seen) if self.temperature else 1.0
        shift = self._shift(class_names, seen, training)
        point = OperatingPoint(temperature, tuple(shift.tolist()), start.decision, (), self.aim)
        if self.aim == "cost":
            return OperatingPoint(
                temperature, point.shift, point.decision, self._costs(class_names), self.aim
            )
        if not len(labels):
            return point
        log_p = point.log_probabilities(z)
        aim, moving = self._aim(class_names)
        offsets = best_offsets(log_p, labels, aim, moving) if self.aim != "accuracy" else np.zeros(len(seen))
        kept = _told(aim, labels, z.argmax(1), (log_p + offsets).argmax(1), len(seen))
        return OperatingPoint(temperature, point.shift, tuple(offsets.tolist()), (), self.aim, kept)

    def verify(self, class_names: Sequence[str]) -> None:
        """Raises UserError for a class that there is not: before training, not after."""
        shares = np.full(len(class_names), 1 / len(class_names))
        self._shift(class_names, shares, shares)
        self._aim(class_names)
        self._costs(class_names)

    def _shift(self, names: Sequence[str], seen: Floats, training: Floats) -> Floats:
        if self.target_prior == "as_trained":
            return np.zeros(len(names))
        if isinstance(self.target_prior, Mapping):
            unknown = [name for name in self.target_prior if name not in names]
            missing = [name for name in names if name not in self.target_prior]
            if unknown or missing:
                what = (
                    f"there is no class {unknown[0]!r}; {nearest(unknown[0], names)}"
                    if unknown
                    else (f"a share for each class is expected, {missing[0]!r} has none")
                )
                raise UserError(f"operating.target_prior: {what}")
            target = np.array([float(self.target_prior[name]) for name in names])
        else:
            target = training if self.target_prior == "training" else (training > 0).astype(np.float64)
        log_target, log_seen = (np.log(np.maximum(p / p.sum(), _SMALLEST)) for p in (target, seen))
        shift = self.tau * (log_target - log_seen)
        return np.asarray(shift - shift.max())

    def _aim(self, names: Sequence[str]) -> tuple[Aim, Sequence[int]]:
        """What is maximised, and the classes whose offsets may move."""
        everything = range(len(names)) if len(names) > 2 else (1,)
        if self.aim == "cost":
            return Counts.accuracy, everything
        if self.aim != "recall":
            return getattr(Counts, self.aim), everything
        k = _place(self.of or "", names, "operating.of")

        def precise(counts: Counts) -> Floats:
            recall = divide(counts.hits[:, k], counts.support[:, k])
            return np.where(
                recall >= self.at_least, divide(counts.hits[:, k], counts.predicted[:, k]), np.nan
            )

        return precise, (k,)

    def _costs(self, names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        table = 1.0 - np.eye(len(names))
        for true, row in (self.cost or {}).items():
            for answer, cost in row.items():
                at = tuple(_place(name, names, "operating.cost") for name in (true, answer))
                table[at] = float(cost)
        return tuple(map(tuple, table.tolist()))


def _place(name: str, names: Sequence[str], key: str) -> int:
    if name not in names:
        raise UserError(f"{key}: there is no class {name!r}; {nearest(name, names)}")
    return list(names).index(name)


def _temperature(z: Floats, labels: NDArray[np.int64], seen: Floats) -> float:
    """T of least log loss of softmax(z / T + log v - log s), by golden section over log T."""
    shares = np.bincount(labels, minlength=len(seen)) / len(labels)
    log_v, log_s = (np.log(np.maximum(p, _SMALLEST)) for p in (shares, seen))

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


def _told(
    aim: Aim, labels: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], classes: int
) -> dict[str, Any]:
    """On how many samples it was chosen, and what the aim was without and with it."""

    def value(answers: NDArray[np.int64]) -> float | None:
        found = float(aim(margins(answers, labels, classes))[0])
        return None if np.isnan(found) else found

    return {"split": "val", "n": len(labels), "before": value(before), "after": value(after)}
