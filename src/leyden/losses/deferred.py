"""One loss for the first epochs and another for the last: deferred re-weighting (DRW)."""

from typing import Annotated

from annotated_types import Interval
from torch import Tensor, nn


class Deferred(nn.Module):
    """`first` until the share `start` of the epochs is over, then `then`.

    Cao et al. 2019 (arXiv 1906.07413, algorithm 1): features are learnt from all samples alike, the decision is
    corrected once the learning rate has dropped: epoch 160 of 200, counted from 0.

    Args:
        first: of the first epochs.
        then: of the rest.
        epochs: of the whole training.
        start: share of the epochs that `first` has.
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
        """The loss in force in an epoch, counted from 0."""
        return self.first if epoch < self.from_epoch else self.then

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """As at the end of training, where no epoch is given."""
        losses: Tensor = self.then(logits, labels)
        return losses
