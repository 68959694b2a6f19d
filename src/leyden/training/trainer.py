"""The Lightning Trainer of a run: for training, with Leyden's callbacks and the user's, or for evaluation alone."""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.health_monitor import HealthMonitor
from leyden.callbacks.interrupt import Interrupt
from leyden.callbacks.loggers import make_loggers
from leyden.callbacks.metrics_csv import MetricsCSV
from leyden.callbacks.progress_bar import ProgressBar
from leyden.callbacks.pruning import Pruning
from leyden.callbacks.tensorboard import EventFiles, RunLogger
from leyden.callbacks.tensorboard_training import TrainingViews
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.schema import Config
from leyden.config.validate import import_target
from leyden.health.settings import DiagnosticsSettings
from leyden.metrics import higher_is_better
from leyden.tasks.base import Task
from leyden.training import slurm
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.lightning_internals import install_loops


def health_settings(config: Config) -> DiagnosticsSettings:
    """What the doctor does."""
    made: DiagnosticsSettings = instantiate_with_facts("health", config.health, {})
    return made


def build_trainer(
    config: Config,
    folder: Path,
    epochs: int,
    resumed_step: int | None = None,
    exact: bool = False,
    more: Sequence[Callback] = (),
) -> Trainer:
    """The Trainer with Leyden's callbacks and the user's; it draws no bar and writes no checkpoint of its own.

    epochs: that are trained, of which `trainer.max_steps` may leave fewer than `trainer.max_epochs`.
    exact: whether the doctor reads every step's values, also where that halts a GPU's queue.
    more: callbacks that need what the trainer does not have.
    """
    higher = more_is_better(config)
    offered = {
        "folder": folder,
        "resumed_step": resumed_step,
        "monitor": config.monitor,
        "higher_is_better": higher,
    }
    loggers = make_loggers(config, folder, offered)
    own = [
        instantiate_with_facts(f"callbacks.{name}", node, offered) for name, node in config.callbacks.items()
    ]
    checkpoint = Checkpoint(
        folder / "checkpoints", config.monitor, higher, config.checkpoint_minutes, config.checkpoint_steps
    )
    task: Task = instantiate_with_facts("task.target", config.task.target, {})
    bar = ProgressBar(console, config.monitor)
    search = [Pruning(config.trial, config.monitor)] if config.trial else []
    doctor = (
        [HealthMonitor(chosen, folder, exact)]
        if (chosen := health_settings(config)).on_bad != "ignore"
        else []
    )
    ours = [
        *doctor,
        *more,
        MetricsCSV(folder / "metrics.csv"),
        *(TrainingViews(logger, task) for logger in loggers if isinstance(logger, RunLogger)),
        *own,
        EventFiles(folder),
        checkpoint,
        *search,
        Interrupt(checkpoint),
        bar,
    ]
    made = _quiet_trainer({**config.trainer, "max_epochs": epochs}, ours, loggers, folder)
    install_loops(made)
    return made


def _quiet_trainer(
    node: Mapping[str, Any], callbacks: list[Any], loggers: list[Any], folder: Path
) -> Trainer:
    made: Trainer = instantiate_with_facts(
        "trainer",
        node,
        {
            "callbacks": callbacks,
            "logger": loggers or False,
            "default_root_dir": str(folder),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": bool(
                callbacks
            ),  # by ours: Lightning adds its own only where there is none
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            **({"plugins": plugins} if (plugins := slurm.environment()) and "plugins" not in node else {}),
        },
    )
    return made


def verify_trainer(config: Config) -> None:
    """Refuse what Lightning refuses, such as a device that is not there, before any work.

    Raises:
        UserError: devices, precision, strategy or limits that cannot be had here.
    """
    if config.trainer.get("fast_dev_run"):
        raise UserError(
            "trainer.fast_dev_run: would be recorded as a complete run; for a quick test use trainer.max_epochs=1 "
            "trainer.limit_train_batches=1 trainer.limit_val_batches=1 trainer.limit_test_batches=1"
        )
    try:
        _try_trainer(json.dumps(config.trainer))
    except UserError as error:
        given = config.trainer.get("accelerator", "auto")
        advice = "" if given in ("auto", "cpu") else " (trainer=cpu trains on the processor)"
        raise UserError(f"{error}{advice}") from error


@functools.lru_cache(16)  # the jobs of a sweep have one trainer
def _try_trainer(node: str) -> None:
    _quiet_trainer(json.loads(node), [], [], Path.cwd())


def more_is_better(config: Config) -> bool:
    """The direction of the monitor: as its metric or the module's `lower_is_better` declares, else as its name says."""
    module = import_target(config.model.module["_target_"], "model.module")
    own = config.metrics.get(config.monitor.removeprefix("val/"))
    if own is not None:
        return own.higher_is_better
    return config.monitor not in getattr(module, "lower_is_better", ()) and higher_is_better(config.monitor)


def evaluation_trainer(config: Config, folder: Path) -> Trainer:
    """A Trainer that only evaluates: one device, no logger, no callback; on the processor where there is no other."""
    node = {k: v for k, v in config.trainer.items() if k in ("_target_", "accelerator", "precision")}
    here = {} if torch.accelerator.is_available() else {"accelerator": "cpu"}
    return _quiet_trainer({**node, **here, "devices": 1}, [], [], folder)
