"""A configuration made ready to be looked at or tried, without a run: `leyden profile`, `check model`, `find`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer

from leyden import build
from leyden.batch import Batch
from leyden.check import check
from leyden.complexity.module import training_loss
from leyden.compose import compose
from leyden.config import Config
from leyden.data.datamodule import DataModule
from leyden.recipes import resolved
from leyden.runtime import prepare


class Ready(NamedTuple):
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


def ready(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Ready:
    """Compose, check, read the data, build the module; call `tune_process` before torch is imported.

    Raises:
        UserError: a mistake in the configuration or the data.
    """
    config = check(compose(overrides, config_dirs))
    prepare(config.threads)
    data = build.data(config)
    config, _ = resolved(config, data.spec)
    build.verify_trainer(config)
    trainer = build.evaluator(config, Path(config.runs))
    module = build.module(config, data.spec, data.steps_per_epoch(int(config.trainer["max_epochs"])))
    fit_frontend(module, data)
    converted = trainer.strategy.precision_plugin.convert_module(module)
    return Ready(config, data, converted.to(trainer.strategy.root_device), trainer)  # type: ignore[arg-type]


def fit_frontend(module: LightningModule, data: DataModule) -> None:
    """What a frontend learns of the training set before training, such as means and deviations."""
    frontend: Any = getattr(module, "frontend", None)
    if hasattr(frontend, "fit"):
        frontend.fit(data.fit_batches())
