"""Writes all checkpoints: verifies that weights are finite, and keeps the last, the previous and the best.

    checkpoints/last.ckpt       the newest state, to resume from
    checkpoints/previous.ckpt   the state before it, in case the newest is damaged
    checkpoints/best.ckpt       the epoch with the best monitored metric so far: a hard link to its last.ckpt

A state with non-finite weights is refused before older files are replaced, so a NaN is never "best". Files are written
under a temporary name, synced and renamed, so a kill at any time leaves a state to resume from; `training.resume`
cleans up after it. (Lightning calls subclasses of its `Checkpoint` last, after the module has logged its epoch: hence
the base class, here and in metrics_csv, progress_bar, interrupt, pruning and health_monitor.)
"""

import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback
from torch import Tensor, nn

from leyden.callbacks import transient_state
from leyden.callbacks.base import any_rank
from leyden.config.validate import EPOCH
from leyden.health.findings import NonFinite
from leyden.optim.lr_schedules import repeat_step, without_plan
from leyden.utils.errors import UserError, nearest
from leyden.utils.lightning_internals import only_own_hooks


@only_own_hooks
class Checkpoint(LastCallback):
    """Writes a checkpoint after each epoch, and within an epoch every `minutes` and every `steps`.

    Args:
        folder: folder of the run's checkpoints.
        monitor: name of the metric in the trainer's callback_metrics.
        higher_is_better: direction of the monitor.
        minutes: between two checkpoints within an epoch.
        steps: optimizer steps between two checkpoints within an epoch; None: by time alone.
    """

    def __init__(
        self, folder: Path, monitor: str, higher_is_better: bool, minutes: float, steps: int | None = None
    ) -> None:
        self.folder, self.monitor, self.sign = folder, monitor, 1 if higher_is_better else -1
        self.minutes, self.steps = minutes, steps
        self.best: dict[str, Any] = {}
        self._logged: dict[str, Tensor] = {}
        self._transient: list[dict[str, Any]] = []
        self._replan = False
        self._written, self._step = time.monotonic(), 0
        self._began, self._seconds = time.monotonic(), 0.0

    @property
    def run(self) -> str:
        """Name of the run's folder, which holds its fingerprint."""
        return self.folder.parent.name

    @property
    def last_path(self) -> Path:
        """Path of the newest checkpoint."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """Path of the checkpoint of the best epoch."""
        return self.folder / "best.ckpt"

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before the run was resumed."""
        return self._seconds + time.monotonic() - self._began

    def on_step_done(self, trainer: Trainer) -> None:
        """Write a checkpoint if `minutes` or `steps` have passed since the last one."""
        by_step = self.steps is not None and trainer.global_step - self._step >= self.steps
        by_time = time.monotonic() - self._written >= 60 * self.minutes
        if by_step or any_rank(trainer, by_time):
            self.save(trainer)

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Write the checkpoint of the epoch; link it as the best if the monitored metric has improved."""
        improved = self._update_best(trainer)
        self.save(trainer)
        if improved and trainer.is_global_zero:
            link(self.last_path, self.best_path)

    def _update_best(self, trainer: Trainer) -> bool:
        """Whether the epoch just finished is the best so far: of equal ones that with the lower loss, else the later.

        Raises:
            UserError: the monitor was not logged.
            NonFinite: it is NaN or infinite.
        """
        found: Mapping[str, Any] = {EPOCH: float(trainer.current_epoch), **trainer.callback_metrics}
        if self.monitor not in found:
            raise UserError(
                f"monitor={self.monitor}: not logged in epoch {trainer.current_epoch}"
                f"{', which trainer.max_steps ended' if 0 <= trainer.max_steps <= trainer.global_step else ''}; "
                f"{nearest(self.monitor, trainer.callback_metrics)}"
            )
        value = float(found[self.monitor])
        if not math.isfinite(value):
            raise NonFinite(f"{self.monitor} is {value} after epoch {trainer.current_epoch}")
        loss = float(found.get("val/loss", math.nan))  # a module of the user's own may log none
        candidate = {
            "monitor": self.monitor,
            "value": value,
            "loss": loss if math.isfinite(loss) else None,
            "higher_is_better": self.sign > 0,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
        }
        if self.best and self._rank(candidate) < self._rank(self.best):
            return False
        self.best = candidate
        return True

    def _rank(self, best: Mapping[str, Any]) -> tuple[float, float]:
        """What orders epochs, the best last."""
        loss = best.get("loss")
        return self.sign * best["value"], -math.inf if loss is None else -loss

    def save(self, trainer: Trainer) -> None:
        """Write last.ckpt atomically; the older one becomes previous.ckpt.

        Raises:
            NonFinite: a weight is not finite; nothing is written.
        """
        verify_finite(trainer.lightning_module)
        temporary = self.folder / "writing.ckpt"
        self._logged = dict(trainer.callback_metrics)
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            _sync(temporary)
            if self.last_path.exists():
                self.last_path.replace(self.folder / "previous.ckpt")
            temporary.replace(self.last_path)
        self._written, self._step = time.monotonic(), trainer.global_step

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state that Lightning omits, including whether a callback has stopped the run early."""
        checkpoint["transient"] = transient_state.collect_state(trainer, pl_module)
        checkpoint["stopped"] = trainer.should_stop
        checkpoint["run"] = self.run

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the transient state until training begins (random numbers are drawn before); restore `should_stop`.

        Where it is that of another run (`continue`), that run has stopped, not this, and its schedules were planned for
        its length: they keep their position, and have the plan of this run.
        """
        self._transient = checkpoint["transient"]
        self._replan = checkpoint.get("run", self.run) != self.run
        trainer.should_stop = checkpoint["stopped"] and not self._replan
        if self._replan:
            checkpoint["lr_schedulers"] = [without_plan(state) for state in checkpoint["lr_schedulers"]]

    def on_ready(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the transient state and start the clock; set the rate that a new plan has at this step."""
        for config in trainer.lr_scheduler_configs if self._replan else ():
            repeat_step(config.scheduler)
        self._replan = False
        if self._transient:
            transient_state.restore_state(trainer, pl_module, self._transient)
            trainer.callback_metrics.update(self._logged)
        self._transient = []
        self._written, self._step = time.monotonic(), trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        """The best epoch so far, the last logged metrics, the seconds of training."""
        return {"best": self.best, "logged": self._logged, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.best, self._logged, self._seconds = (state_dict[k] for k in ("best", "logged", "seconds"))


def verify_finite(module: nn.Module) -> None:
    """Raise `NonFinite`, naming the first tensor, if a parameter or buffer holds a NaN or an infinity."""
    tensors = {k: v for k, v in module.state_dict().items() if torch.is_tensor(v) and v.is_floating_point()}
    if tensors and not torch.stack([v.isfinite().all() for v in tensors.values()]).all():
        bad = next(name for name, v in tensors.items() if not v.isfinite().all())
        raise NonFinite(f"{bad} has values that are not finite; the checkpoint was not saved")


def link(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, atomically; a copy where hard links are not supported."""
    temporary = target.with_suffix(".link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
        _sync(temporary)
    temporary.replace(target)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
