"""What is needed to do a bad step again: its batches, the weights before it, and the state of the random numbers.

blackbox/rank0.pt           of the first step that went wrong; one file for each rank
blackbox/treatment.json     what has been changed since: {"rollbacks": [...], "passed": [[epoch, first, last], ...]}
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from leyden.data.batch import Batch
from leyden.utils.errors import UserError
from leyden.utils.files import damaged, read_object


@dataclass(frozen=True)
class RecordedBatch:
    """A batch as the training step got it: on a step's micro-batches there are several.

    Args:
        batch: whatever the loader gives; a `Batch` from Leyden's.
        index: its number in the epoch, on this rank.
        rng: state of torch's generators before the step, as `transient.torch_rng` returns it.
    """

    batch: Any
    index: int
    rng: dict[str, Any]

    @property
    def rows(self) -> list[int]:
        """Rows of the samples in the source's table; empty for a loader of one's own."""
        return self.batch.rows.tolist() if isinstance(self.batch, Batch) else []


@dataclass(frozen=True)
class StepSnapshot:
    """The step that went wrong.

    Args:
        step: optimizer steps taken before it.
        epoch: from 0.
        taken: its batches.
        weights: the module's state_dict before it.
        what: "loss" or "gradient": what was not finite.
        rank: of the process.
    """

    step: int
    epoch: int
    batches: Sequence[RecordedBatch]
    weights: dict[str, Any]
    what: str
    rank: int


def path_of(folder: Path, rank: int) -> Path:
    """Where the box of a rank lies in a run's folder."""
    return folder / "blackbox" / f"rank{rank}.pt"


def write(box: StepSnapshot, folder: Path) -> Path:
    """Into the run's folder; beside its place, then renamed."""
    path = path_of(folder, box.rank)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        torch.save(box, file)
    temporary.replace(path)
    return path


def read(folder: Path) -> list[StepSnapshot]:
    """The boxes of all ranks of a run.

    Raises:
        UserError: there is none, or one is damaged.
    """
    paths = sorted((folder / "blackbox").glob("rank*.pt"))
    if not paths:
        raise UserError(
            f"{folder} has no black box: one is written at the first step whose loss or gradient is not finite"
        )
    return [_load(path) for path in paths]


def _load(path: Path) -> StepSnapshot:
    try:
        box = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # whatever unpickling finds in a file that is none of ours
        raise damaged(path, f"{type(error).__name__}") from error
    if not isinstance(box, StepSnapshot):
        raise damaged(path, f"it holds {type(box).__name__}")
    return box


def recovery_file(folder: Path) -> Path:
    """What has been changed in the course of a run."""
    return folder / "blackbox" / "treatment.json"


def read_recovery(folder: Path) -> dict[str, Any]:
    """The content of that file; empty where nothing has been changed."""
    path = recovery_file(folder)
    return read_object(path, json.loads) if path.exists() else {}
