"""metrics.csv: one row per epoch with every logged metric, rewritten atomically; and the loss within an epoch."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback

from leyden.utils.files import write_text
from leyden.utils.lightning_internals import only_own_hooks


@only_own_hooks
class MetricsCSV(LastCallback):
    """Writes the rows each epoch, and stores them in checkpoints: a resumed run neither repeats nor loses one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rewrite the file: a resumed run removes the rows written after its checkpoint."""
        if trainer.is_global_zero and (self.rows or self._path.exists()):
            self._write()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Every `log_every_n_steps` batches, log the mean training loss and score since the last time."""
        means, every = getattr(pl_module, "means", None), getattr(trainer, "log_every_n_steps", 50)
        if means is None or not trainer.loggers or (batch_idx + 1) % every:
            return
        names = (f"train/{name}_step" for name in ("loss", getattr(pl_module, "score_name", "score")))
        values = dict(zip(names, means.read_interval(), strict=False))
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of this epoch, whose train and validation metrics are logged by now."""
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        self.rows.append({"epoch": trainer.current_epoch + 1, "step": trainer.global_step, **metrics})
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        write_text(self._path, table(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self.rows = state_dict["rows"]


def table(rows: list[dict[str, float]]) -> str:
    """Rows as CSV text; a column that appears later is empty in earlier rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
