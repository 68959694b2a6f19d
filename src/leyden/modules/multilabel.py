"""Multi-label classification: any number of L labels."""

from typing import ClassVar

from torch import Tensor

from leyden.modules.base import SupervisedModule


class MultilabelClassifier(SupervisedModule):
    """Whether an input has each of L labels, of any modality; outputs are logits (B, L), targets 0 or 1 (B, L)."""

    score_name: ClassVar[str] = "label_accuracy"

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """float32 (B,): the share of a sample's labels that the signs of the logits have right."""
        return ((outputs > 0) == (targets > 0.5)).float().mean(1)

    def prediction_summary(self, outputs: Tensor) -> list[float]:
        """(L,): the share of outputs (N, L) that have each label; a net may answer none of them."""
        found: list[float] = (outputs > 0).float().mean(0).tolist()
        return found
