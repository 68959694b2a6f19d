"""One loss for the first epochs and another for the last: deferred re-weighting (DRW)."""

from typing import Annotated

from annotated_types import Interval
from torch import Tensor, nn


class Deferred(nn.Module):
    """Loss `first` for the share `start` of the epochs, then loss `then`.

    Cao et al. 2019 (arXiv 1906.07413, algorithm 1): features are learned with equal weights, and the
    classifier is corrected after the learning rate has dropped: epoch 160 of 200, counted from 0.

    Args:
        first: loss of the first epochs.
        then: loss of the remaining epochs.
        epochs: number of epochs of the whole training.
        start: share of the epochs that use `first`.
    """

    def __init__(
        self,
        first: nn.Module,
        then: nn.Module,
        epochs: int,
        start: Annotated[float, Interval(ge=0, le=1)] = 0.8,
    ) -> None:
        super().__init__()
        self.first, self.then = first, then
        self.from_epoch = round(start * epochs)

    def at(self, epoch: int) -> nn.Module:
        """The loss of an epoch, counted from 0."""
        return self.first if epoch < self.from_epoch else self.then

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Losses (B,) of `then`, the loss at the end of training; `at` gives that of an epoch."""
        losses: Tensor = self.then(logits, labels)
        return losses
