"""What a LightningModule and its data cost together: the typical input, its forward pass, a training step."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from leyden.batch import Batch
from leyden.complexity import flops, memory
from leyden.complexity.flops import Flops
from leyden.data.datamodule import DataModule
from leyden.errors import UserError


def typical(data: DataModule, samples: int) -> Batch:
    """Training samples of about the median length, as one batch, unaugmented; repeated where there are too few."""
    rows = data.splits.train
    if data.lengths is not None:
        first = max(0, (len(rows) - samples) // 2)
        last = min(first + samples, len(rows)) - 1
        rows = rows[np.argpartition(data.lengths[rows], (first, last))][first : last + 1]
    chosen: NDArray[np.int64] = np.resize(rows, samples)
    return data.batch_of(chosen)


def forward(module: LightningModule, batch: Batch) -> Tensor:
    """Logits (B, C) of raw inputs, as in evaluation."""
    prepare: Any = module.prepare
    with _told("a forward pass", batch):
        logits: Tensor = module(prepare(batch))
    return logits


def training_loss(module: LightningModule, batch: Batch) -> Tensor:
    """The loss () of a training step, outside of a Trainer.

    Raises:
        UserError: the module's code fails.
    """
    with warnings.catch_warnings(), _told("a training step", batch):
        warnings.simplefilter("ignore")  # a module that logs, without a trainer at work
        outcome: Any = module.training_step(batch, 0)
    loss: Tensor = outcome["loss"] if isinstance(outcome, dict) else outcome
    return loss


def optimizer_of(module: LightningModule) -> torch.optim.Optimizer:
    """The optimizer that a module configures, without its schedule."""
    configured: Any = module.configure_optimizers()
    made: torch.optim.Optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    return made


@contextmanager
def _told(what: str, batch: Batch) -> Iterator[None]:
    """What a module's own code fails with, in one line; no room on the device is another matter."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        size = f"a batch of {len(batch.labels)}"
        raise UserError(f"{what} of the model fails for {size}: {type(error).__name__}: {error}") from error


@contextmanager
def undisturbed(module: nn.Module, training: bool = False) -> Iterator[None]:
    """For the time of the block in evaluation (or training) mode; then modes and random numbers are as they were."""
    modes = [(part, part.training) for part in module.modules()]
    with torch.random.fork_rng(devices=[]):
        module.train(training)
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def forward_flops(module: LightningModule, data: DataModule) -> Flops | None:
    """Of the net's forward pass for one sample of median length; None for a module that shows no `prepare`."""
    prepare: Any = getattr(module, "prepare", None)
    if prepare is None:
        return None
    batch = typical(data, 1).to(module.device)
    with undisturbed(module):
        with torch.no_grad():  # the frontend does not count: torch's counter knows no Fourier transform
            prepared = prepare(batch)
        with _told("a forward pass", batch):  # with gradients: the counter trips over some views without
            return flops.count(module, lambda: module(prepared))


def training_flops(module: LightningModule, batch: Batch) -> Flops:
    """Of a training step, forwards and backwards, for the whole batch."""
    with undisturbed(module, training=True):
        found = flops.count(module, lambda: training_loss(module, batch).backward())
    module.zero_grad()
    return found


def activation_bytes(module: LightningModule, batch: Batch) -> int:
    """What a training step of this batch keeps for its backward pass."""
    with undisturbed(module, training=True), memory.Activations(module).watching() as kept:
        training_loss(module, batch)
        return kept.bytes
