"""result.json: what became of a run, typed. The one place that says which fields there are.

`Result.model_json_schema()` is published as docs/result.schema.json; docs/result.md explains each field. What is read
is checked against it, too: code that reads a result may rely on the types here, not on a field being there.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

SCHEMA = 3  # of result.json and manifest.json
LOADABLE = (2, 3)  # by `evaluate`, `predict` and `replay`
READABLE = (1, *LOADABLE)  # 1: of runs made before groups and targets were renamed; listed and compared
_RENAMED = {  # fields of earlier schemas, by the list whose elements have them
    "phases": {"seen": "effective"},
    "classes": {"unique": "unique_samples", "repeats": "draws_per_sample", "gap": "recall_gap"},
}

Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # that NumPy and a float can hold, too
Status = Literal["running", "complete", "failed", "interrupted", "pruned"]


class Part(BaseModel):
    """Strict names; fields that are not known yet are left out of the file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)


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
    epoch: Number = 0
    step: Number = 0
    checkpoint: str = ""


class Cost(Part):
    """What a run took."""

    seconds: float | None = None
    samples_per_second: float | None = None
    parameters: Number | None = None
    steps: Number | None = None
    flops: Number | None = None


class ThreadsChange(Part):
    """Other threads from an optimizer step on, in an epoch (from 0)."""

    epoch: Number
    step: Number
    threads: Number
    reason: str


class ComputePlan(Part):
    """How steps were computed: at the first step; `changes` of the threads came later. seconds: of a step, by plan."""

    threads: Number
    memory_format: str = "own"
    precision: str = ""
    compiled: bool = False
    reason: str = ""
    seconds: dict[str, float] = {}
    changes: list[ThreadsChange] = []


class StoredEstimate(Part):
    """A value with its 95 % interval: `leyden.metrics.results.Estimate`."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""


class OfClass(Part):
    """One class against the rest."""

    name: str
    n: Number
    precision: StoredEstimate
    recall: StoredEstimate
    f1: StoredEstimate


class OfLabel(OfClass):
    """One label of a multi-label evaluation."""

    average_precision: StoredEstimate


class OfTarget(Part):
    """One target of a regression."""

    name: str
    n: Number
    mae: StoredEstimate
    rmse: StoredEstimate
    r2: StoredEstimate
    spearman: StoredEstimate


class OfGroup(Part):
    """Classes with many, a medium number of, or few training samples."""

    classes: Number
    recall: StoredEstimate


class OfPair(Part):
    """How many samples of one class were taken for another."""

    true: str
    predicted: str
    n: Number


def _square(rows: list[list[int]]) -> list[list[int]]:
    if any(len(row) != len(rows) for row in rows):
        raise ValueError("a confusion matrix has as many columns as rows")
    return rows


class Split(Part):
    """What was measured on one split; a task of one's own may add parts."""

    model_config = ConfigDict(extra="allow")

    n: Number = 0
    loss: float | None = None
    values: dict[str, StoredEstimate] = {}
    scalars: dict[str, float | None] = {}
    per_class: list[OfClass] = []
    per_label: list[OfLabel] = []
    per_target: list[OfTarget] = []
    confusion: Annotated[list[list[Number]], AfterValidator(_square)] = []
    confusions: list[OfPair] = []
    groups: dict[Literal["many", "medium", "few"], OfGroup] = {}


class Point(Part):
    """What is done to a net's outputs before they are answers; each task has its own parts."""

    model_config = ConfigDict(extra="allow")

    temperature: float = 1.0
    shift: list[float] = []
    decision: list[float] = []
    cost: list[list[float]] = []
    criterion: str = ""
    chosen_on: dict[str, JsonValue] = {}


class Phase(Part):
    """Epochs in which sampling and loss impose the same class prior."""

    epochs: list[int]
    sampled: list[float]
    effective: list[float]
    imposed: list[float] = []
    degrees: dict[str, float]
    source: Literal["exact", "validation", "unknown"] = "unknown"


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


class InputSubset(Part):
    """What the net answers by some of its inputs, of the n rows that have one of them."""

    inputs: list[str]
    n: Number
    values: dict[str, StoredEstimate]


class Inputs(Part):
    """A net with several inputs by each subset of them.

    `adds`: by how much all are better than the best single one, paired, in `measure`.
    """

    split: str
    subsets: list[InputSubset]
    best_single: str
    measure: str
    adds: StoredEstimate


class FoundProblem(Part):
    """A finding of the health monitor or of the data checks."""

    id: str
    level: Literal["info", "warning", "error"]
    message: str
    where: str
    advice: list[str]
    evidence: dict[str, JsonValue]
    step: Number | None


class Result(Part):
    """The content of result.json."""

    schema_: int = Field(default=SCHEMA, alias="schema")
    status: Status
    command: list[str] | None = None
    started: str | None = None
    data: str | None = None
    made_with: dict[str, str | None] = {}
    config: dict[str, JsonValue] = {}
    task: str = "classification"
    error: Failure | None = None
    metrics: dict[str, Split] = {}
    best: Best = Best()
    cost: Cost | None = None
    compute: ComputePlan | None = None
    prior: Prior = Prior()
    operating_point: Point = Point()
    classes: list[ClassExposure] = []
    doctor: list[FoundProblem] = []
    inputs: Inputs | None = None


class Hardware(BaseModel):
    """Of the machine that trained."""

    cores: Number | None = None
    threads: Number | None = None


class Git(BaseModel):
    """Of the checkout that a run was started in."""

    commit: str = ""
    changed: bool = False


class Manifest(BaseModel):
    """The content of manifest.json, as far as it is read again."""

    schema_: Number = Field(default=SCHEMA, alias="schema")
    command: list[str] = []
    folder: str = "."
    packages: dict[str, str] = {}
    python: str = ""
    host: str = ""
    platform: str = ""
    precision: str = ""
    data: str = ""
    cpu: Hardware = Hardware()
    gpus: list[str] = []
    git: Git = Git()


def threads_used(compute: Mapping[str, Any]) -> list[int]:
    """The CPU threads of a run's steps, from the first on: of `compute` of a result."""
    return [compute["threads"], *(change["threads"] for change in compute.get("changes", ()))]


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
