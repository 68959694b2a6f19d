"""Regression: one or several numbers."""

from typing import ClassVar

from torch import Tensor

from leyden.modules.base import SupervisedModule


class Regressor(SupervisedModule):
    """Prediction of K numbers, of any modality; net and loss see them standardised by the training targets."""

    score_name: ClassVar[str] = "mae"

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 (B,): the absolute error in the targets' units, its mean over the targets."""
        return (self.unscale_outputs(outputs.float()) - targets).abs().mean(1)

    def prediction_summary(self, outputs: Tensor) -> list[float]:
        """(K,): the deviation of outputs (N, K), in the targets' units, over that of the targets in training."""
        spread = outputs.double().std(0, correction=0) / self.std.cpu().double()
        found: list[float] = spread.tolist()
        return found
