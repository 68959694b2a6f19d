"""Snapshot of a non-finite step, to replay it: its batches, the weights before it and the random-number state.

bad_step/rank0.pt          snapshot of the first non-finite step; one file per rank
bad_step/recovery.json     changes by rollbacks: {"rollbacks": [...], "passed": [[epoch, first, last], ...]}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from leyden.data.batch import Batch, Input, MixupTargets
from leyden.utils import tensors
from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write, damaged, read_json


@dataclass(frozen=True)
class RecordedBatch:
    """A batch as the training step received it; a step with gradient accumulation has several.

    Args:
        batch: output of the data loader; a `Batch` from Leyden's loader.
        index: index of the batch in the epoch, on this rank.
        rng: state of torch's generators before the step, as `random_state.torch_rng` returns it.
    """

    batch: Any
    index: int
    rng: dict[str, Any]

    @property
    def rows(self) -> list[int]:
        """Rows of the samples in the data table; empty for a custom loader."""
        return self.batch.rows.tolist() if isinstance(self.batch, Batch) else []


@dataclass(frozen=True)
class StepSnapshot:
    """The step whose loss, gradient, weights or, after it, validation outputs are not finite.

    Args:
        step: optimizer steps taken before it.
        epoch: epoch index, from 0.
        batches: the batches of the step, or one of validation samples; empty: the weights are not finite.
        weights: the module's state_dict before the step.
        what: what is not finite: "loss", "gradient", "model" or "output".
        rank: rank of the process.
    """

    step: int
    epoch: int
    batches: Sequence[RecordedBatch]
    weights: dict[str, Any]
    what: str
    rank: int


def _folder(run: Path) -> Path:
    """Folder of these files in the folder of a run; a run of before schema 3 keeps the one that it has."""
    earlier = run / "blackbox"
    return earlier if earlier.is_dir() else run / "bad_step"


def path_of(folder: Path, rank: int) -> Path:
    """Path of a rank's snapshot in the folder of a run."""
    return _folder(folder) / f"rank{rank}.pt"


def write(snapshot: StepSnapshot, folder: Path) -> Path:
    """Write the snapshot to the folder of a run, atomically; returns its path."""
    path = path_of(folder, snapshot.rank)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as file:
        torch.save(snapshot, file)
    return path


def read(folder: Path) -> list[StepSnapshot]:
    """The snapshots of all ranks of a run.

    Raises:
        UserError: there is none, or one is damaged or holds what is read with --trust alone.
    """
    paths = sorted(_folder(folder).glob("rank*.pt"))
    if not paths:
        raise UserError(
            f"{folder} has no step snapshot: one is written at the first step whose loss or gradient is not finite"
        )
    return [_load(path) for path in paths]


def _load(path: Path) -> StepSnapshot:
    try:
        snapshot = tensors.load(path, safe=(StepSnapshot, RecordedBatch, Batch, Input, MixupTargets))
    except UserError:
        raise
    except Exception as error:  # unpickling a foreign or damaged file raises anything
        raise damaged(path, f"{type(error).__name__}") from error
    if not isinstance(snapshot, StepSnapshot):
        raise damaged(path, f"it holds {type(snapshot).__name__}")
    return snapshot


def recovery_file(folder: Path) -> Path:
    """Path of recovery.json: the rollbacks of a run."""
    return _folder(folder) / "recovery.json"


def read_recovery(folder: Path) -> dict[str, Any]:
    """Content of recovery.json: {"rollbacks": [...], "passed": [...]}; empty if the run was never rolled back."""
    path = recovery_file(folder)
    return read_json(path) if path.exists() else {}
