"""What TensorBoard shows while a run trains, beside its curves: the first batch, and the charts of the curves."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from leyden.callbacks.captures import InputCapture
from leyden.callbacks.tensorboard import RunLogger
from leyden.callbacks.tensorboard_inputs import shown_of, write_inputs
from leyden.callbacks.tensorboard_tags import FIRST_BATCH, layout
from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.utils.lightning_internals import only_own_hooks

_STATE = "tensorboard"  # of a checkpoint: what the event files hold already


@only_own_hooks
class TrainingViews(Callback):
    """Writes what is shown of the training, each once: a resumed run repeats nothing.

    What it shows is copied as it passes through the module, so it draws no random number and changes nothing.

    Args:
        logger: of the run.
    """

    def __init__(self, logger: RunLogger) -> None:
        self._logger, self._budget = logger, logger.budget
        self._has_layout = self._has_val = False
        self._augmentation = ""  # under which the training batch that is shown was made
        self._capture: InputCapture | None = None
        self._step = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the next training batch if none has been shown that was augmented so."""
        if not trainer.is_global_zero or self._augmentation == (now := augmentation_of(pl_module)):
            return
        if not self._augmentation or self._budget.allows(FIRST_BATCH):
            self._augmentation = now
            self._begin(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the training batch that was wanted."""
        if self._capture is not None:
            self._write(trainer, batch, "train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show one validation batch."""
        if trainer.state.fn == "fit" and trainer.is_global_zero and not self._has_val:
            self._has_val = True
            self._begin(trainer, pl_module)

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
        if self._capture is not None:
            self._write(trainer, batch, "val")

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Write the charts when the first epoch has logged every tag."""
        if trainer.is_global_zero and not self._has_layout:
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
            if (seen := capture.take(raw)) is not None:
                title = f"{split}, epoch {trainer.current_epoch + 1}"
                tag = f"{FIRST_BATCH}/{split}"
                write_inputs(self._logger.experiment, tag, seen, _data(trainer), title, self._step)


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
