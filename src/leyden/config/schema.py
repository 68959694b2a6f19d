"""The typed schema of a run's configuration, validated before any work starts.

The YAML of conf/ and the command line are composed into a plain dictionary; `Config.model_validate` checks its
types, ranges and names. The nodes that select code (`_target_`) stay dictionaries: `check` binds them to
their signatures, `build` instantiates them.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from leyden.utils.errors import nearest

RENAMED = {"objective": "loss", "operating": "decision", "schedule": "scheduler"}  # groups of version 0.1


def nearest_key(key: str, known: Iterable[str]) -> str:
    """Return the suggestion for an unknown root key: the new name of a renamed group, or the nearest key."""
    return f"{key}= is now {RENAMED[key]}=" if key in RENAMED else nearest(key, known)


Target = dict[str, Any]  # a node with `_target_` and its arguments


def file_name(name: str) -> str:
    """Validate a name that becomes part of a folder's name: it must not contain a slash or be `.` or `..`."""
    if "/" in name or name in (".", ".."):
        raise PydanticCustomError(
            "file_name", "expected a name without slashes: it becomes part of a folder's name"
        )
    return name


class Node(BaseModel):
    """Base class: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Data(Node):
    """Group `data`: the source of the inputs and how they are read.

    Attributes:
        name: of the data set, as in data=NAME.
        source: the data source.
        tokenizer: of texts; None for images and audio.
        deduplicate: whether to keep only one of identical inputs with the same target (texts: equal up to case, spaces
            and Unicode form).
        on_bad: what to do with a file that cannot be read: `stop` with an error or `skip` it.
        limit_gb: size of the decoded inputs in GB above which `workers` processes decode them on the fly; below it
            they are cached as memory-mapped arrays.
        workers: number of decoding processes.
        bucket: window, in batches, within which texts and clips are sorted by length; 0: no sorting.
        eval_batch_size: batch size of validation and test.
        flipped_labels: share of the training rows that are given a wrong label, to measure what finds them; validation
            and test stay as they are.
        flips: where wrong labels lead, uniform (to any other class) or pairs (from each class to the next).
        flip_seed: of the choice of these rows and labels.
        placement: where batches are gathered from, `host` (memory), `device` (its memory) or `auto`: on a GPU, images
            and tables that take at most a quarter of its free memory lie there.
    """

    name: str
    source: Target
    tokenizer: Target | None = None
    deduplicate: bool = False
    on_bad: Literal["stop", "skip"] = "stop"
    limit_gb: Annotated[float, Field(gt=0)] = 8.0
    workers: Annotated[int, Field(ge=0)] = 2
    bucket: Annotated[int, Field(ge=0)] = 50
    eval_batch_size: Annotated[int, Field(ge=1)] = 256
    flipped_labels: Annotated[float, Field(ge=0, lt=1)] = 0.0
    flips: Literal["uniform", "pairs"] = "uniform"
    flip_seed: Annotated[int, Field(ge=0)] = 0
    placement: Literal["auto", "host", "device"] = "auto"


class Model(Node):
    """Group `model`: a LightningModule, the frontend that computes the net's input, and the net.

    tokenizer: for texts, used in place of the data's tokenizer; must be None for other data.
    encoders: for data with several inputs a model of each, by the input's name, of which frontend and net are used.
    """

    name: str
    module: Target
    tokenizer: Target | None = None
    frontend: Target = {}
    net: Target = {}
    encoders: dict[str, "Model"] = {}


class Task(Node):
    """Group `task`: what is predicted, and what goes with it where nothing else is chosen.

    module, loss and monitor are what `model.module`, `loss=auto` and `monitor` stand for by default.
    """

    name: str
    module: str
    loss: str
    monitor: str
    target: Target


class Metric(Node):
    """One entry of group `metrics`: a function of scores and targets, and the direction in which it is better."""

    function: Target
    higher_is_better: bool = True


class Init(Node):
    """Initial weights: `from` a run or a weight file; `redraw` (re-initialise) and `freeze` by name.

    Names are parameter names and may be globs; `head` is the net's last layer, `backbone` everything else. encoders: of
    a net with several inputs, a run or a weight file for each encoder, by the input's name.
    """

    source: str | None = Field(default=None, alias="from")
    redraw: list[str] = []
    freeze: list[str] = []
    encoders: dict[str, str] = {}


class Checkpoints(Node):
    """What a finished run keeps beside its best weights: its `last` state (for `continue`), or nothing more."""

    keep: Literal["last", "best"] = "last"


class Compute(Node):
    """Group `compute`: how steps are computed; of what is auto, a short trial chooses the fastest.

    threads: all of the CPU (OMP_NUM_THREADS, or the cores available), or as many as are fastest.
    memory_format: in which weights of convolutions of images are kept; own: as the net has them.
    compile: whether torch.compile compiles the net, without a trial.
    allow: what the trial may choose besides: bf16 rounds more; compile, tried without it on a GPU alone, takes long.
    """

    threads: Literal["auto", "all"] = "all"
    memory_format: Literal["auto", "own", "contiguous", "channels_last"] = "own"
    compile: bool = False
    allow: list[Literal["bf16", "compile"]] = []


class Config(Node):
    """The configuration of a run. `batch_size` is global: it is divided by the number of ranks and by accumulation."""

    name: Annotated[str, Field(min_length=1), AfterValidator(file_name)]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    batch_size: Annotated[int, Field(ge=1)]
    monitor: str
    threads: Annotated[int, Field(ge=1, le=65536)] | None
    compute: Compute = Compute()
    checkpoint_minutes: Annotated[float, Field(gt=0)]
    checkpoint_steps: Annotated[int, Field(ge=1)] | None
    task: Task
    data: Data
    split: Target
    long_tail: Target
    sampling: Target
    augment: dict[str, Target]
    model: Model
    head: Target
    loss: Target
    optimizer: Target
    scheduler: Target
    decision: Target
    metrics: dict[str, Metric]
    health: Target
    imbalance: Literal["none", "auto"]
    allow_stacking: bool
    trainer: Target
    callbacks: dict[str, Target]
    logger: dict[str, Target]
    init: Init
    data_root: Annotated[str, Field(min_length=1)]
    cache: Annotated[str, Field(min_length=1)]
    runs: Annotated[str, Field(min_length=1)]
    experiment: str
    force: bool
    trial: str | None = None
    checkpoint: Checkpoints = Checkpoints()
    parent: str | None = Field(default=None, alias="continue")

    @property
    def epochs(self) -> int:
        """How many epochs are trained."""
        return int(self.trainer["max_epochs"])
