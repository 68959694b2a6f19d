"""A configuration made ready to be looked at or tried, without a run: `leyden profile`, `check model`, `find`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer

from leyden import build
from leyden.check import check
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
