"""Losses of regression: predictions and targets (B, K), both standardised -> float32 losses (B,), means over targets.

Standardised (mean 0, standard deviation 1 on the training rows), targets of different units count alike, and Huber's
delta is in standard deviations.
"""

from typing import Annotated, ClassVar

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F


class MeanSquaredError(nn.Module):
    """(p - t)^2: the prediction becomes the conditional mean; one target far off counts for many."""

    task: ClassVar[str] = "regression"

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample, in float32 whatever the predictions' precision."""
        return F.mse_loss(predictions.float(), targets.float(), reduction="none").mean(1)


class MeanAbsoluteError(nn.Module):
    """|p - t|: the prediction becomes the conditional median."""

    task: ClassVar[str] = "regression"

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample."""
        return F.l1_loss(predictions.float(), targets.float(), reduction="none").mean(1)


class Huber(nn.Module):
    """e^2 / 2 for |e| <= delta, else delta (|e| - delta / 2), e = p - t (Huber 1964): squared near, absolute far off.

    Args:
        delta: where the one becomes the other.
    """

    task: ClassVar[str] = "regression"

    def __init__(self, delta: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample."""
        return F.huber_loss(predictions.float(), targets.float(), reduction="none", delta=self.delta).mean(1)
