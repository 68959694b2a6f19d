"""A line per epoch, of many epochs of some; on a terminal below it a bar of the epoch with the time left for the run.

The bar is updated at most ten times a second.
"""

import math
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
)

from leyden.reporting.format import duration
from leyden.utils.lightning_internals import only_own_hooks

_INTERVAL = 0.1  # seconds between two updates
_MOST_LINES = 40  # of a run


@only_own_hooks
class ProgressBar(LastCallback):
    """Progress of a fit on the terminal.

    Args:
        console: the terminal.
        monitor: the monitored metric, shown after the losses.
    """

    def __init__(self, console: Console, monitor: str) -> None:
        self._console, self._monitor = console, monitor
        self._bar: Progress | None = None
        self._next = 0.0
        self._start: tuple[float, int] | None = None  # time and position after the first batch
        self._epoch_began = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the progress bar on a terminal."""
        # of a run that is resumed within an epoch, which does not start again
        self._epoch_began = time.monotonic()
        if not (trainer.is_global_zero and self._console.is_terminal):
            return
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=int(trainer.num_training_batches), left="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the bar for a new epoch."""
        self._epoch_began = time.monotonic()
        if self._bar is not None:
            label = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.reset(self._task, total=int(trainer.num_training_batches), description=label)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar, at most every `_INTERVAL` seconds."""
        if self._bar is not None and (now := time.monotonic()) >= self._next:
            self._next = now + _INTERVAL
            self._bar.update(self._task, completed=batch_idx + 1, left=self._left(trainer, batch_idx))

    def _left(self, trainer: Trainer, batch_idx: int) -> str:
        """The time left for the run, at its speed since its first batch, validations included."""
        batches = int(trainer.num_training_batches)
        done, total = trainer.current_epoch * batches + batch_idx + 1, (trainer.max_epochs or 1) * batches
        if trainer.max_steps >= 0:
            total = min(total, trainer.max_steps * trainer.accumulate_grad_batches)
        now = time.monotonic()
        began, first = self._start = self._start or (now, done)
        return "" if done == first else f"{duration((total - done) * (now - began) / (done - first))} left"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's metrics: of every epoch, or of every so many and the last."""
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        is_last = epoch == epochs or trainer.should_stop
        if trainer.is_global_zero and (is_last or epoch % math.ceil(epochs / _MOST_LINES) == 0):
            values = "  ".join(f"{k} {v:.4f}" for k, v in self._metrics(trainer).items())
            took = time.monotonic() - self._epoch_began
            self._console.print(f"epoch {epoch}/{epochs}  {values}  {took:.1f} s")

    def _metrics(self, trainer: Trainer) -> dict[str, float]:
        found = trainer.callback_metrics
        names = dict.fromkeys(("train/loss", "val/loss", self._monitor))
        return {name: float(found[name]) for name in names if name in found}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
