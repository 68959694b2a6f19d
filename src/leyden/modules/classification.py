"""Classification: one of C classes."""

from typing import ClassVar

from torch import Tensor

from leyden.modules.base import SupervisedModule


class Classifier(SupervisedModule):
    """Classification of an input into one of C classes, of any modality; outputs are logits (B, C)."""

    score_name: ClassVar[str] = "accuracy"

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 (B,): 1 where the largest logit is the target's."""
        return (outputs.argmax(1) == targets).float()

    def prediction_summary(self, outputs: Tensor) -> list[float]:
        """(C,): the share of outputs (N, C) whose largest logit is each class's; a net may answer one class alone."""
        counts = outputs.argmax(1).bincount(minlength=outputs.shape[1])
        found: list[float] = (counts / counts.sum()).tolist()
        return found
