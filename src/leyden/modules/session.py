"""A module and its data outside a run, as `leyden profile`, `check model` and `find` use them."""

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer

from leyden.config.schema import Config
from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.modules.standalone import training_loss


class Session(NamedTuple):
    """What a run would train.

    Args:
        config: checked.
        data: the data layer.
        module: at its initial weights, its frontend fitted, on the device of `trainer`.
        trainer: of the run's device and precision; it has not run.
    """

    config: Config
    data: DataModule
    module: LightningModule
    trainer: Trainer

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        device: torch.device = self.trainer.strategy.root_device
        return device

    def forward_context(self) -> AbstractContextManager[None]:
        """The run's precision."""
        context: AbstractContextManager[None] = self.trainer.strategy.precision_plugin.forward_context()
        return context

    def step(self, module: LightningModule, optimizer: torch.optim.Optimizer, batch: Batch) -> torch.Tensor:
        """A training step of the module, or of a copy, as the run would take it; returns the loss () before it."""
        with self.forward_context():
            loss = training_loss(module, batch)
        optimizer.zero_grad()
        loss.backward()
        if (most := self.config.trainer.get("gradient_clip_val")) is not None:
            torch.nn.utils.clip_grad_norm_(module.parameters(), most)
        optimizer.step()
        return loss.detach()
