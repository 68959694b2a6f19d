"""The one component that owns checkpoints: it writes, verifies finite, and keeps the last and the best.

    checkpoints/last.ckpt       the newest state, to resume from
    checkpoints/previous.ckpt   the one before it, should the newest be damaged
    checkpoints/best.ckpt       the best value of the monitored metric so far

A state with a weight that is not finite is refused before anything older goes, so a NaN is never "best". Files are
written beside their place, synced and renamed. (Lightning calls what derives from its `Checkpoint` last, after the
module has logged its epoch: hence the base class, here and in history, progress and interrupt.)
"""

import math
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback
from torch import nn

from leyden.errors import UserError, nearest
from leyden.ranks import agreed


class NonFinite(Exception):
    """The weights or the monitored metric have become NaN or infinite; the run cannot go on."""


class Checkpoint(LastCallback):
    """Checkpoints at each epoch's end and every `minutes` within an epoch.

    Args:
        folder: of the run's checkpoints.
        monitor: name of the metric in the trainer's callback_metrics.
        higher_is_better: direction of the monitor.
        minutes: between two checkpoints within an epoch.
    """

    def __init__(self, folder: Path, monitor: str, higher_is_better: bool, minutes: float) -> None:
        self.folder, self.monitor, self.sign = folder, monitor, 1 if higher_is_better else -1
        self.minutes = minutes
        self.best: dict[str, Any] = {}
        self._rng: dict[str, Any] | None = None
        self._written = time.monotonic()

    @property
    def last_path(self) -> Path:
        """The newest checkpoint."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / "best.ckpt"

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when the time has come and the state can be taken up exactly."""
        due = time.monotonic() - self._written >= 60 * self.minutes
        if at_safe_point(trainer, batch_idx) and agreed(trainer, due, batch_idx):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the validation: save, and keep the state as the best if it is."""
        if self.monitor not in trainer.callback_metrics:
            raise UserError(
                f"monitor={self.monitor}: not there after epoch {trainer.current_epoch + 1}"
                f"{', which trainer.max_steps ended' if 0 <= trainer.max_steps <= trainer.global_step else ''}; "
                f"{nearest(self.monitor, trainer.callback_metrics)}"
            )
        value = float(trainer.callback_metrics[self.monitor])
        if not math.isfinite(value):
            raise NonFinite(f"{self.monitor} is {value} after epoch {trainer.current_epoch + 1}")
        improved = not self.best or self.sign * value > self.sign * self.best["value"]
        if improved:
            self.best = {
                "monitor": self.monitor,
                "value": value,
                "higher_is_better": self.sign > 0,
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
            }
        self.save(trainer)
        if improved and trainer.is_global_zero:
            _link(self.last_path, self.best_path)

    def save(self, trainer: Trainer) -> None:
        """Write last.ckpt atomically; the one before it becomes previous.ckpt.

        Raises:
            NonFinite: a weight is not finite; nothing is written.
        """
        verify_finite(trainer.lightning_module)
        temporary = self.folder / "writing.ckpt"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            _sync(temporary)
            if self.last_path.exists():
                self.last_path.replace(self.folder / "previous.ckpt")
            temporary.replace(self.last_path)
        self._written = time.monotonic()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add every random-number state."""
        checkpoint["rng"] = rng_state()

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The random-number states are set when training starts: building a model draws numbers."""
        self._rng = checkpoint.get("rng")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Continue the random numbers of a resumed run; start the clock."""
        if self._rng is not None:
            set_rng_state(self._rng)
        self._written = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What is best so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was best so far."""
        self.best = state_dict["best"]


def at_safe_point(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a state saved after this batch can be taken up exactly.

    Not in the middle of an accumulated step, and not before a validation (so not on an epoch's last batch): Lightning
    would skip that validation. The epoch's own checkpoint follows it.
    """
    done = batch_idx + 1
    between = trainer.val_check_batch  # infinite where validation does not follow the batches
    validates = done == trainer.num_training_batches or (isinstance(between, int) and done % between == 0)
    return done % trainer.accumulate_grad_batches == 0 and not validates


def verify_finite(module: nn.Module) -> None:
    """Raise `NonFinite`, naming the first tensor, if a parameter or buffer holds a NaN or an infinity."""
    tensors = {k: v for k, v in module.state_dict().items() if torch.is_tensor(v) and v.is_floating_point()}
    if tensors and not torch.stack([v.isfinite().all() for v in tensors.values()]).all():
        bad = next(name for name, v in tensors.items() if not v.isfinite().all())
        raise NonFinite(f"{bad} holds values that are not finite; the state was not saved")


def rng_state() -> dict[str, Any]:
    """The state of every generator that a run may draw from."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (a user's code may use the global one)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.array(keys)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put every generator into a state that `rng_state` returned."""
    random.setstate(state["python"])
    name, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy(), place, has_gauss, gauss))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def _link(source: Path, target: Path) -> None:
    """`target` becomes another name of `source`'s content, atomically."""
    temporary = target.with_suffix(".link")
    temporary.unlink(missing_ok=True)
    os.link(source, temporary)
    temporary.replace(target)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
