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
