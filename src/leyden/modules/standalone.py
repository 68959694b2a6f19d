"""Running a LightningModule outside a Trainer: a forward pass, a training step, its optimizer, its frontend."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.utils.errors import UserError


def forward(module: LightningModule, batch: Batch) -> Tensor:
    """Logits (B, C) of raw inputs, as in evaluation."""
    prepare: Any = module.prepare
    with _plain_failure("a forward pass", batch):
        logits: Tensor = module(prepare(batch))
    return logits


def training_loss(module: LightningModule, batch: Batch) -> Tensor:
    """The loss () of a training step, outside of a Trainer.

    Raises:
        UserError: the module's code fails.
    """
    with warnings.catch_warnings(), _plain_failure("a training step", batch):
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
def _plain_failure(what: str, batch: Batch) -> Iterator[None]:
    """Raise failures of the module's own code in one line; lack of device memory is raised unchanged."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        size = f"a batch of {len(batch.targets)}"
        raise UserError(f"{what} of the model fails for {size}: {type(error).__name__}: {error}") from error


@contextmanager
def preserved_state(module: nn.Module, training: bool = False) -> Iterator[None]:
    """For the time of the block in evaluation (or training) mode; then modes and random numbers are as they were."""
    modes = [(part, part.training) for part in module.modules()]
    with torch.random.fork_rng(devices=[]):
        module.train(training)
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def fit_frontend(module: LightningModule, data: DataModule) -> None:
    """What a frontend learns of the training set before training, such as means and deviations."""
    frontend: Any = getattr(module, "frontend", None)
    several = [(frontend[name], part) for name, part in data.parts.items()] if data.parts and frontend else []
    for each, own in several or [(frontend, data)]:
        if hasattr(each, "fit"):
            each.fit(own.fit_inputs())
