"""The one component that writes checkpoints: it verifies finite, and keeps the last and the best.

    checkpoints/last.ckpt       the newest state, to resume from
    checkpoints/previous.ckpt   the one before it, should the newest be damaged
    checkpoints/best.ckpt       the best value of the monitored metric so far: another name of that epoch's last.ckpt

A state with a weight that is not finite is refused before anything older goes, so a NaN is never "best". Files are
written beside their place, synced and renamed, so a kill between any two steps leaves a state to go on from;
`training.resume` repairs what it left. (Lightning calls what derives from its `Checkpoint` last, after the module has
logged its epoch: hence the base class, here and in history, progress and interrupt.)
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
from leyden.utils.errors import UserError, nearest
from leyden.utils.lightning_internals import only_own_hooks


@only_own_hooks
class Checkpoint(LastCallback):
    """Checkpoints at each epoch's end, and within an epoch every `minutes` and every `steps`.

    Args:
        folder: of the run's checkpoints.
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
        self._written, self._step = time.monotonic(), 0
        self._began, self._seconds = time.monotonic(), 0.0

    @property
    def last_path(self) -> Path:
        """The newest checkpoint."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / "best.ckpt"

    @property
    def seconds(self) -> float:
        """Of training, with those that led to the state from which it was resumed."""
        return self._seconds + time.monotonic() - self._began

    def on_step_done(self, trainer: Trainer) -> None:
        """Save when the time or the step has come."""
        by_step = self.steps is not None and trainer.global_step - self._step >= self.steps
        by_time = time.monotonic() - self._written >= 60 * self.minutes
        if by_step or any_rank(trainer, by_time):
            self.save(trainer)

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Save, and keep the state as the best if it is."""
        improved = self._judge(trainer)
        self.save(trainer)
        if improved and trainer.is_global_zero:
            link(self.last_path, self.best_path)

    def _judge(self, trainer: Trainer) -> bool:
        """Whether the epoch that has just ended is the best so far.

        Raises:
            UserError: the monitor was not logged.
            NonFinite: it is NaN or infinite.
        """
        found: Mapping[str, Any] = {EPOCH: float(trainer.current_epoch), **trainer.callback_metrics}
        if self.monitor not in found:
            raise UserError(
                f"monitor={self.monitor}: not there after epoch {trainer.current_epoch}"
                f"{', which trainer.max_steps ended' if 0 <= trainer.max_steps <= trainer.global_step else ''}; "
                f"{nearest(self.monitor, trainer.callback_metrics)}"
            )
        value = float(found[self.monitor])
        if not math.isfinite(value):
            raise NonFinite(f"{self.monitor} is {value} after epoch {trainer.current_epoch}")
        if self.best and self.sign * value <= self.sign * self.best["value"]:
            return False
        self.best = {
            "monitor": self.monitor,
            "value": value,
            "higher_is_better": self.sign > 0,
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
        }
        return True

    def save(self, trainer: Trainer) -> None:
        """Write last.ckpt atomically; the one before it becomes previous.ckpt.

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
        """Add what Lightning leaves out: also whether a callback has ended the run early."""
        checkpoint["transient"] = transient_state.collect_state(trainer, pl_module)
        checkpoint["stopped"] = trainer.should_stop

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """What is to be set once training begins (until then numbers are drawn); and whether it does."""
        self._transient = checkpoint["transient"]
        trainer.should_stop = checkpoint["stopped"]

    def on_ready(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the rest of the state; start the clock."""
        if self._transient:
            transient_state.restore_state(trainer, pl_module, self._transient)
            trainer.callback_metrics.update(self._logged)
        self._transient = []
        self._written, self._step = time.monotonic(), trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        """What is best so far, the metrics last logged, the time it took."""
        return {"best": self.best, "logged": self._logged, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take that up."""
        self.best, self._logged, self._seconds = (state_dict[k] for k in ("best", "logged", "seconds"))


def verify_finite(module: nn.Module) -> None:
    """Raise `NonFinite`, naming the first tensor, if a parameter or buffer holds a NaN or an infinity."""
    tensors = {k: v for k, v in module.state_dict().items() if torch.is_tensor(v) and v.is_floating_point()}
    if tensors and not torch.stack([v.isfinite().all() for v in tensors.values()]).all():
        bad = next(name for name, v in tensors.items() if not v.isfinite().all())
        raise NonFinite(f"{bad} holds values that are not finite; the state was not saved")


def link(source: Path, target: Path) -> None:
    """`target` becomes another name of `source`'s content, atomically; where there are no hard links, a copy."""
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
