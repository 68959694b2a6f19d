"""Ctrl-C, SIGTERM and the warning signals of a cluster: finish the step, save a checkpoint and stop.

A second Ctrl-C stops at once.
"""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback

from leyden.callbacks.base import any_rank
from leyden.callbacks.checkpoint import Checkpoint
from leyden.utils.lightning_internals import only_own_hooks
from leyden.utils.runtime import STOPS


class Interrupted(BaseException):
    """The run was interrupted by `signal` and has saved its state. Not an Exception, so that it is not caught."""

    def __init__(self, signal: int = 0) -> None:
        self.signal = signal  # 0: another rank received it


@only_own_hooks
class Interrupt(LastCallback):
    """On the first signal, saves a checkpoint at the end of the step and raises `Interrupted`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._signal = 0
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the signal handlers, after Lightning's own; Python allows it in the main thread alone."""
        for number in STOPS if threading.current_thread() is threading.main_thread() else ():
            self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._restore_handlers()  # the next signal has its previous effect: stop at once
        self._signal = number
        print("\nleyden: stopping after this step; interrupt again to stop at once", flush=True)

    def on_step_done(self, trainer: Trainer) -> None:
        """Stop after a step, where the run can be resumed exactly."""
        if any_rank(trainer, bool(self._signal)):
            self._checkpoint.save(trainer)
            raise Interrupted(self._signal)

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Stop after a signal on the last batch or in validation; the epoch's checkpoint has just been written."""
        if trainer.strategy.reduce_boolean_decision(bool(self._signal), all=False):
            raise Interrupted(self._signal)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous signal handlers."""
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
