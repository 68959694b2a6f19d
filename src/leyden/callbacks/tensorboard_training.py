"""What TensorBoard shows while a run trains, beside its curves: the charts in which these are put together."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from leyden.callbacks.tensorboard import RunLogger
from leyden.callbacks.tensorboard_tags import layout
from leyden.utils.lightning_internals import only_own_hooks

_STATE = "tensorboard"  # of a checkpoint: what the event files hold already


@only_own_hooks
class TrainingViews(Callback):
    """Writes what is shown of the training, each once: a resumed run repeats nothing.

    Args:
        logger: of the run.
    """

    def __init__(self, logger: RunLogger) -> None:
        self._logger = logger
        self._has_layout = False

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Write the charts when the first epoch has logged every tag."""
        if trainer.is_global_zero and not self._has_layout:
            self._logger.experiment.add_custom_scalars(layout(self._logger.tags))
            self._has_layout = True

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store what has been written; not as state of a callback, which a run without this logger would miss."""
        checkpoint[_STATE] = {"layout": self._has_layout}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore what a checkpoint stored; one of a run without this logger stored nothing."""
        self._has_layout = checkpoint.get(_STATE, {}).get("layout", False)
