"""A module that is not trained: it goes through the ordinary loop once, at learning rate zero, and is evaluated."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from leyden.data.batch import Batch
from leyden.data.transforms.named import prepared_by
from leyden.modules.base import SupervisedModule


class Untrained(SupervisedModule):
    """Evaluates the net as it was made. For a baseline of any task and modality that has nothing to learn.

    The loop, the checkpoint and the result are those of every run. What is different: the learning rate is zero
    whatever `optimizer.lr` says (no optimizer of torch then changes a weight), and the run ends after one epoch
    whatever `trainer.max_epochs` says. Batches go through the net once, for the training loss, as they are:
    no augmentation.
    """

    score_name: ClassVar[str] = ""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Nothing is followed over a training that there is not: zeros (B,)."""
        return torch.zeros(len(outputs), device=outputs.device)

    def prepare(self, batch: Batch) -> Batch:
        """The net's input."""
        return prepared_by(self.frontend, batch)

    def configure_optimizers(self) -> Any:
        """At rate zero from the first step on: a schedule multiplies it."""
        make = self._optimizer

        def still(groups: Any) -> Any:
            optimizer = make(groups)
            for group in optimizer.param_groups:
                group["lr"] = 0.0
            return optimizer

        self._optimizer = still
        return super().configure_optimizers()

    def on_train_start(self) -> None:
        """A run that died between its epoch and its result has nothing left to do."""
        self.trainer.should_stop = self.trainer.current_epoch > 0

    def on_train_epoch_end(self) -> None:
        """One epoch is enough."""
        super().on_train_epoch_end()
        self.trainer.should_stop = True
