"""Pruning of a search's trial: reports the monitored metric after each epoch and stops the run if the pruner says so.

The run's key `trial`, "STORAGE#STUDY#NUMBER", names the trial. It does not change what is computed, so
it is not part of the run's fingerprint: a pruned run that is trained again without it continues to the end.
"""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback

from leyden.tuning.trial import RunningTrial
from leyden.utils.lightning_internals import only_own_hooks


class Pruned(Exception):
    """The search has stopped this run: at this epoch it is worse than the pruner's threshold."""


@only_own_hooks
class Pruning(LastCallback):
    """Reports `monitor` after each epoch (after its checkpoint) and raises `Pruned` if the pruner decides so.

    Args:
        trial: "STORAGE#STUDY#NUMBER".
        monitor: name of the metric in the trainer's callback_metrics.

    Raises:
        UserError: there is no such trial.
    """

    def __init__(self, trial: str, monitor: str) -> None:
        self._name, self._monitor = trial, monitor
        self._trial: RunningTrial | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the study on the first rank; stop at once if the trial was pruned before the run could record it."""
        pruned = False
        if trainer.is_global_zero:
            self._trial = RunningTrial.open(self._name)
            pruned = self._trial.pruned
        if trainer.strategy.broadcast(pruned):
            raise Pruned

    def on_epoch_done(self, trainer: Trainer) -> None:
        """Report the epoch, whose checkpoint is written by now; the last epoch is not pruned."""
        epoch = trainer.current_epoch
        stop = False
        if self._trial is not None:
            self._trial.report(epoch, float(trainer.callback_metrics[self._monitor]))
            stop = epoch != trainer.max_epochs and self._trial.prune(epoch)
        if trainer.strategy.broadcast(stop):
            raise Pruned

    def state_dict(self) -> dict[str, Any]:
        """Empty: the state is in the study's storage."""
        return {}
