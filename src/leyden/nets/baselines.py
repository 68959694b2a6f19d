"""The least that a net can do: say how frequent each class was in training, whatever the input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_UNSEEN = 0.5  # samples that a class without any in training counts as, so that log loss stays finite


class ClassPriorNet(nn.Module):
    """The logarithm of the training prior as logits: predicts the most frequent class, with its share as probability.

    It has nothing to learn: `log_prior` is a parameter only because an optimizer needs one, and
    `leyden.modules.untrained.Untrained` leaves it as it is.
    """

    def __init__(self, class_counts: Sequence[int]) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64).clamp(min=_UNSEEN)
        self.log_prior = nn.Parameter(torch.log(counts / counts.sum()).float())

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Anything (B, ...) -> logits (B, C)."""
        return self.log_prior.repeat(x.shape[0], 1)
