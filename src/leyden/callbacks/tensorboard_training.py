"""What TensorBoard shows while a run trains, beside its curves: the first batch, the epochs, and the charts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from leyden.callbacks.captures import InputCapture, LayerCapture, OutputCapture, part_of
from leyden.callbacks.tensorboard import Detail, RunLogger
from leyden.callbacks.tensorboard_epochs import (
    ValidationOutputs,
    write_curves,
    write_figures,
    write_histograms,
    write_samples,
)
from leyden.callbacks.tensorboard_inputs import shown_input, shown_of, write_inputs
from leyden.callbacks.tensorboard_tags import FIRST_BATCH, layout
from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.tasks import epoch_views
from leyden.tasks.base import Task
from leyden.utils.lightning_internals import only_own_hooks

_HISTOGRAMS = "histograms"
_KEPT = 0.5  # share of the budget that is left for what is written at the end of the run
_LAST = 0.1  # and for the views of the last epoch
_STATE = "tensorboard"  # of a checkpoint: what the event files hold already


@only_own_hooks
class TrainingViews(Callback):
    """Writes what is shown of the training, each once: a resumed run repeats nothing.

    What it shows is copied as it passes through the module, so it draws no random number and changes nothing.

    Args:
        logger: of the run.
        task: of the run.
    """

    def __init__(self, logger: RunLogger, task: Task) -> None:
        self._logger, self._budget, self._task = logger, logger.budget, task
        self._has_layout = self._has_val = False
        self._augmentation = ""  # under which the training batch that is shown was made
        self._capture: InputCapture | None = None
        self._own: OutputCapture | None = None  # of a module that keeps no outputs itself
        self._layers: LayerCapture | None = None
        self._step = 0
        self._is_due = False
        self._kept = _KEPT + _LAST
        self._found: ValidationOutputs | None = None  # of the last validation in this epoch

    def on_ready(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Plan the rest of an epoch that is resumed."""
        self._plan(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Plan what is shown of the epoch."""
        self._plan(trainer, pl_module)

    def _plan(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the next batch if none was shown that was augmented so; copy the next step's gradients if due."""
        if not trainer.is_global_zero:
            return
        now = augmentation_of(module)
        if self._augmentation != now and (not self._augmentation or self._budget.allows(FIRST_BATCH)):
            self._augmentation = now
            self._begin(trainer, module)
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs
        self._is_due = is_due(epoch, last, self._logger.detail)
        self._kept = _KEPT if epoch == last else _KEPT + _LAST
        if self._is_due and self._layers is None and self._budget.allows(_HISTOGRAMS, self._kept):
            self._layers = LayerCapture(module)
            self._layers.watch_step(trainer.optimizers)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the training batch that was wanted."""
        if self._capture is not None:
            self._write(trainer, batch, "train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show one validation batch; collect what a module that keeps no outputs answers."""
        if trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        if not self._has_val:
            self._has_val = True
            self._begin(trainer, pl_module)
        if not hasattr(pl_module, "evaluations"):
            self._own = OutputCapture(pl_module, _data(trainer).spec.num_outputs)
        if self._layers is not None:
            self._layers.remove()
            self._layers.watch_forward()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the validation batch that was wanted."""
        if self._layers is not None:
            self._layers.remove()
        if self._capture is not None:
            self._write(trainer, batch, "val")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the recall of each class, as Lightning does the metrics: a checkpoint may come before the epoch's end."""
        if trainer.state.fn != "fit" or not trainer.is_global_zero:
            return
        self._found = self._outputs(pl_module)
        if (found := self._found) is None:
            return
        data = _data(trainer)
        with self._budget.spending("recall"):
            recalls = epoch_views.recalls(found.outputs, found.targets, data.kind, data.spec)
        values = {f"recall/{name}": value for name, value in recalls.items()}
        self._logger.log_metrics(values, trainer.global_step)

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Write what is due of this epoch; the charts when the first one has logged every tag."""
        if not trainer.is_global_zero:
            return
        layers, self._layers = self._layers, None
        found, self._found = self._found, None
        if found is not None:
            self._write_epoch(trainer, found, layers)
        elif layers is not None:
            self._write_histograms(layers, None, trainer.global_step)
        if not self._has_layout:
            with self._budget.spending("charts"):
                self._logger.experiment.add_custom_scalars(layout(self._logger.tags))
            self._has_layout = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store what has been written; not as state of a callback, which a run without this logger would miss."""
        state = {"layout": self._has_layout, "val": self._has_val, "augmentation": self._augmentation}
        checkpoint[_STATE] = state

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore what a checkpoint stored; one of a run without this logger stored nothing."""
        state = checkpoint.get(_STATE, {})
        self._has_layout, self._has_val = state.get("layout", False), state.get("val", False)
        self._augmentation = state.get("augmentation", "")

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        self._step = trainer.global_step
        self._capture = InputCapture(module, shown_of(_data(trainer)))

    def _write(self, trainer: Trainer, raw: Batch, split: str) -> None:
        capture, self._capture = self._capture, None
        assert capture is not None
        with self._budget.spending(FIRST_BATCH):
            data, title = _data(trainer), f"{split}, epoch {trainer.current_epoch + 1}"
            for name, seen in capture.take(raw).items():
                tag = f"{FIRST_BATCH}/{split}" + (f"/{name}" if name else "")
                write_inputs(self._logger.experiment, tag, *shown_input(name, seen, data), title, self._step)

    def _outputs(self, module: LightningModule) -> ValidationOutputs | None:
        """What the module answered in the validation that has just ended; None: it gives no outputs."""
        kept: Any = getattr(module, "evaluations", {}).get("val")
        own, self._own = self._own, None
        found = own.take() if own is not None else kept
        if found is None:
            return None
        rows, places = np.unique(found[2].numpy(), return_index=True)
        return ValidationOutputs(found[0].double().numpy()[places], found[1].numpy()[places], rows)

    def _write_epoch(self, trainer: Trainer, found: ValidationOutputs, layers: LayerCapture | None) -> None:
        data, step, writer, task = _data(trainer), trainer.global_step, self._logger.experiment, self._task
        title = f"val, epoch {trainer.current_epoch}"
        views: dict[str, Callable[[], None]] = {
            "figures": lambda: write_figures(writer, found, data, title, step),
            "samples": lambda: write_samples(writer, found, task, data, title, step),
            "curves": lambda: write_curves(writer, found, task, data, step),
        }
        for name, write in views.items() if self._is_due else ():
            if self._budget.allows(name, self._kept):
                with self._budget.spending(name):
                    write()
        if layers is not None:
            self._write_histograms(layers, found, step)

    def _write_histograms(self, layers: LayerCapture, found: ValidationOutputs | None, step: int) -> None:
        layers.remove()
        if not self._budget.allows(_HISTOGRAMS, self._kept):
            return
        with self._budget.spending(_HISTOGRAMS):
            groups = {
                "weights": layers.weights(),
                "gradients": layers.gradients,
                "activations": layers.activations,
            }
            if found is not None:
                kind = "predictions" if self._task.kind == "values" else "logits"
                groups[kind] = {"val": part_of(torch.from_numpy(found.outputs))}
            for group, values in groups.items():
                write_histograms(self._logger.experiment, group, values, step)


def is_due(epoch: int, last: int | None, detail: Detail) -> bool:
    """Whether pictures of an epoch, from 1, are wanted: of 1, 2, 3, 4, 6, 8, 11, 16, 23, ... and of the last.

    TensorBoard keeps ten pictures of a tag, and these are rounded powers of the square root of 2. full: of every epoch;
    light: of none.
    """
    if detail != "auto":
        return detail == "full"
    return epoch == last or epoch == round(2 ** (round(2 * math.log2(epoch)) / 2))


def _data(trainer: Trainer) -> DataModule:
    found: DataModule = trainer.datamodule  # type: ignore[attr-defined]
    return found


def augmentation_of(module: nn.Module) -> str:
    """The transforms of a module with their settings, as text; of one without any its class.

    Two texts are equal where a training batch is augmented alike.
    """
    augment = getattr(module, "augment", None)
    parts = augment.named_modules() if isinstance(augment, nn.Module) else ()
    return "; ".join([type(module).__name__, *(f"{name} {_settings(part)}" for name, part in parts)])


def _settings(part: nn.Module) -> str:
    plain = {
        name: value
        for name, value in vars(part).items()
        if not name.startswith("_") and name != "training" and isinstance(value, int | float | str | tuple)
    }
    return f"{type(part).__name__} {plain}"
