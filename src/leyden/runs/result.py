"""result.json: what became of a run, typed. The one place that says which fields there are.

`Result.model_json_schema()` is published as docs/result.schema.json; docs/result.md explains each field.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 2  # of result.json and manifest.json
READABLE = (
    1,
    2,
)  # 1: of runs made before groups and targets were renamed; listed and compared, not evaluated

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
    prior: dict[str, Any] = {}
    operating_point: dict[str, Any] = {}
    classes: list[dict[str, Any]] = []
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
