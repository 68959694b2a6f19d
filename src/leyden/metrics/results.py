"""What an evaluation found, as plain values that go through JSON unchanged."""

from dataclasses import asdict, dataclass, field
from typing import Any

# In the order in which they are shown. `monitor: val/<name>` takes these, and val/loss.
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mcc",
    "log_loss",
    "ece",
    "auroc",
    "average_precision",
)
_LOWER_IS_BETTER = frozenset({"loss", "log_loss", "ece"})


def higher_is_better(name: str) -> bool:
    """Whether a monitored value should grow: False for val/loss, val/log_loss and val/ece.

    >>> higher_is_better("val/macro_f1"), higher_is_better("val/ece")
    (True, False)
    """
    return name.rsplit("/", 1)[-1] not in _LOWER_IS_BETTER


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; `method` says how the interval was made.

    value is None where the quantity is undefined; low and high are None where there is no interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True)
class ClassMetrics:
    """One class against the rest. n: samples with this label.

    Undefined, hence None: recall of a class without samples, precision of a class never predicted, f1 of
    a class that is neither. A class with samples that is never predicted has f1 = 0.
    """

    name: str
    n: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class Group:
    """Classes with many, a medium number of, or few training samples: how many there are, and their mean recall."""

    classes: int
    recall: Estimate


@dataclass(frozen=True)
class Metrics:
    """Everything known of one evaluation. n: samples; confusion: (C, C) counts, rows are the true classes.

    groups: by "many" (more than 100 training samples), "medium" and "few" (fewer than 20), where it has classes; empty
    where the training counts are not known.
    """

    n: int
    values: dict[str, Estimate]
    per_class: list[ClassMetrics]
    confusion: list[list[int]]
    groups: dict[str, Group] = field(default_factory=dict)

    def scalars(self) -> dict[str, float]:
        """The defined values alone, by name: what a logger or a monitor takes."""
        return {name: e.value for name, e in self.values.items() if e.value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Dictionaries, lists, numbers and None: never NaN, so that strict JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Metrics":
        """The metrics as they were before `to_dict`."""
        return cls(
            n=stored["n"],
            values={name: Estimate(**e) for name, e in stored["values"].items()},
            per_class=[
                ClassMetrics(
                    name=c["name"],
                    n=c["n"],
                    **{key: Estimate(**c[key]) for key in ("precision", "recall", "f1")},
                )
                for c in stored["per_class"]
            ],
            confusion=stored["confusion"],
            groups={
                name: Group(g["classes"], Estimate(**g["recall"]))
                for name, g in stored.get("groups", {}).items()
            },
        )
