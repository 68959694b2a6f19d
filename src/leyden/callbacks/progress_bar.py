"""The progress bar: epoch, step, remaining time, losses and monitored metric; at most ten updates a second.

If the output is not a terminal: one line per epoch.
"""

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
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from leyden.utils.lightning_internals import only_own_hooks

_INTERVAL = 0.1  # seconds between two updates


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
        self._started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the progress bar on a terminal."""
        self._started = time.monotonic()
        if not (trainer.is_global_zero and self._console.is_terminal):
            return
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=int(trainer.num_training_batches), metrics="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the bar for a new epoch."""
        self._started = time.monotonic()
        if self._bar is not None:
            label = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.reset(self._task, total=int(trainer.num_training_batches), description=label)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar, at most every `_INTERVAL` seconds."""
        if self._bar is not None and (now := time.monotonic()) >= self._next:
            self._next = now + _INTERVAL
            self._bar.update(self._task, completed=batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's metrics, on the bar or as a line."""
        text = "  ".join(f"{k} {v:.4f}" for k, v in self._metrics(trainer).items())
        if self._bar is not None:
            self._bar.update(self._task, completed=int(trainer.num_training_batches), metrics=text)
        elif trainer.is_global_zero:
            took = time.monotonic() - self._started
            self._console.print(
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {text}  {took:.1f} s",
                highlight=False,
            )

    def _metrics(self, trainer: Trainer) -> dict[str, float]:
        found = trainer.callback_metrics
        names = dict.fromkeys(("train/loss", "val/loss", self._monitor))
        return {name: float(found[name]) for name in names if name in found}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
