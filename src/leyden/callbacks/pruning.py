"""A search's view into a running trial: the monitored metric after each epoch, and the word to stop.

The run's key `trial`, "STORAGE#STUDY#NUMBER", names the trial. It changes nothing in what is computed, and so is no
part of the run's fingerprint: a pruned run that is trained again without it goes on to the end.
"""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback

from leyden.tuning.trial import RunningTrial
from leyden.utils.lightning_internals import only_own_hooks


class Pruned(Exception):
    """The search has stopped this run: it is no better than others were at this epoch."""


@only_own_hooks
class Pruning(LastCallback):
    """Reports `monitor` after each epoch (after its checkpoint) and raises `Pruned` where the search says so.

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
        """The first rank alone opens the study; a trial that was pruned before its run could say so, stops here."""
        pruned = False
        if trainer.is_global_zero:
            self._trial = RunningTrial.open(self._name)
            pruned = self._trial.pruned
        if trainer.strategy.broadcast(pruned):
            raise Pruned

    def on_epoch_done(self, trainer: Trainer) -> None:
        """By now the epoch's checkpoint is written. The last epoch is not pruned: it has been paid for."""
        epoch = trainer.current_epoch
        stop = False
        if self._trial is not None:
            self._trial.report(epoch, float(trainer.callback_metrics[self._monitor]))
            stop = epoch != trainer.max_epochs and self._trial.prune(epoch)
        if trainer.strategy.broadcast(stop):
            raise Pruned

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the study's storage has it."""
        return {}
