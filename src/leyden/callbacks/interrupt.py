"""Ctrl-C and SIGTERM: finish the step, save, leave a state that resumes. A second Ctrl-C leaves at once."""

import signal
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback

from leyden.callbacks.checkpoint import Checkpoint, at_safe_point
from leyden.ranks import agreed


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state. Not an Exception: nobody should swallow it."""


class Interrupt(LastCallback):
    """Turns the first SIGINT or SIGTERM into a checkpoint and `Interrupted` at the end of the step."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._asked = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over (after Lightning's own connector has set its handlers)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._give_back()  # the next signal does what it did before: leave at once
        self._asked = True
        print("\nleyden: stopping after this step; once more to stop at once", flush=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The place where a run can stop and go on exactly."""
        if at_safe_point(trainer, batch_idx) and agreed(trainer, self._asked, batch_idx):
            self._checkpoint.save(trainer)
            raise Interrupted

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Asked on the last batch or during the validation: this epoch's checkpoint has just been written."""
        if trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            raise Interrupted

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
