"""Ctrl-C, SIGTERM, and the warnings of a cluster: finish the step, save, leave a state that resumes.

A second Ctrl-C leaves at once.
"""

import signal
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback

from leyden.callbacks.base import any_rank
from leyden.callbacks.checkpoint import Checkpoint
from leyden.utils.lightning_internals import only_own_hooks
from leyden.utils.runtime import STOPS


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state. Not an Exception: nobody should swallow it."""

    def __init__(self, signal: int = 0) -> None:
        self.signal = signal  # 0: another rank was asked


@only_own_hooks
class Interrupt(LastCallback):
    """Turns the first signal into a checkpoint and `Interrupted` at the end of the step."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._asked = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over (after Lightning's own connector has set its handlers)."""
        for number in STOPS:
            self._before[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._give_back()  # the next signal does what it did before: leave at once
        self._asked = number
        print("\nleyden: stopping after this step; once more to stop at once", flush=True)

    def on_step_done(self, trainer: Trainer) -> None:
        """The place where a run can stop and go on exactly."""
        if any_rank(trainer, bool(self._asked)):
            self._checkpoint.save(trainer)
            raise Interrupted(self._asked)

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Asked on the last batch or during the validation: this epoch's checkpoint has just been written."""
        if trainer.strategy.reduce_boolean_decision(bool(self._asked), all=False):
            raise Interrupted(self._asked)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
