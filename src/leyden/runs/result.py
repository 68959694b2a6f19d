"""result.json: what became of a run, typed. The one place that says which fields there are.

`Result.model_json_schema()` is published as docs/result.schema.json; docs/result.md explains each field.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 3  # of result.json and manifest.json
LOADABLE = (2, 3)  # by `evaluate`, `predict` and `replay`
READABLE = (1, *LOADABLE)  # 1: of runs made before groups and targets were renamed; listed and compared
_RENAMED = {  # fields of earlier schemas, by the list whose elements have them
    "phases": {"seen": "effective"},
    "classes": {"unique": "unique_samples", "repeats": "draws_per_sample", "gap": "recall_gap"},
}

Status = Literal["running", "complete", "failed", "interrupted", "pruned"]


class Part(BaseModel):
    """Strict names; fields that are not known yet are left out of the file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Failure(Part):
    """Why a run failed."""

    type: str
    message: str
    where: str


class Best(Part):
    """The checkpoint that was evaluated; all but `checkpoint` may be missing where no epoch was finished."""

    monitor: str = ""
    value: float | None = None
    loss: float | None = None
    higher_is_better: bool = True
    epoch: int = 0
    step: int = 0
    checkpoint: str = ""


class Cost(Part):
    """What a run took."""

    seconds: float
    samples_per_second: float | None
    parameters: int
    steps: int
    flops: int | None


class Phase(Part):
    """Epochs in which sampling and loss impose the same class prior."""

    epochs: list[int]
    sampled: list[float]
    effective: list[float]
    degrees: dict[str, float]


class Prior(Part):
    """Class prior of the training; a task without classes has `samples_per_epoch` alone."""

    training: list[float] = []
    changes: int = 0
    phases: list[Phase] = []
    samples_per_epoch: int = 0


class ClassExposure(Part):
    """How often the training samples of a class were drawn, and how well they are recalled."""

    name: str
    samples: int
    draws: int
    unique_samples: int
    epoch_draws: list[int]
    draws_per_sample: float | None
    train_recall: float | None
    recall_gap: float | None


class FoundProblem(Part):
    """A finding of the health monitor or of the data checks."""

    id: str
    level: Literal["info", "warning", "error"]
    message: str
    where: str
    advice: list[str]
    evidence: dict[str, Any]
    step: int | None


class Result(Part):
    """The content of result.json."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    status: Status
    command: list[str] | None = None
    started: str | None = None
    data: str | None = None
    made_with: dict[str, str | None] = {}
    config: dict[str, Any] = {}
    task: str = "classification"
    error: Failure | None = None
    metrics: dict[str, dict[str, Any]] = {}
    best: Best | dict[str, Any] = {}
    cost: Cost | None = None
    prior: Prior = Prior()
    operating_point: dict[str, Any] = {}
    classes: list[ClassExposure] = []
    doctor: list[FoundProblem] = []

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Result":
        """From the parts that a run has by now.

        Raises:
            pydantic.ValidationError: a field that the schema does not have, or of another type.
        """
        return cls.model_validate({"schema": SCHEMA, **content})

    def to_dict(self) -> dict[str, Any]:
        """As it is written: only the fields that were given."""
        return self.model_dump(by_alias=True, exclude_unset=True)


def with_current_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a result.json of an earlier schema, its fields under their names of today."""
    if stored.get("schema") == SCHEMA:
        return dict(stored)
    prior = stored.get("prior") or {}
    phases = _renamed(prior.get("phases", []), _RENAMED["phases"])
    return {
        **stored,
        **({"prior": {**prior, "phases": phases}} if phases else {}),
        **({"classes": _renamed(stored["classes"], _RENAMED["classes"])} if "classes" in stored else {}),
    }


def _renamed(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]
