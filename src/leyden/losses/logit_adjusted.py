"""Logit-adjusted cross-entropy, which at tau 1 is balanced softmax: logits (B, C), labels (B,) -> losses (B,)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F


class LogitAdjusted(nn.Module):
    """Cross-entropy of z + tau log pi, pi the class shares of the training split; evaluation uses z as it is.

    Menon et al. 2021 (arXiv 2007.07314, equation 10); with tau = 1 balanced softmax of Ren et al. 2020 (arXiv
    2007.10740), because softmax is invariant to the constant log N between log pi and log n. The net learns the
    posterior under a uniform class prior. A class without training samples counts as half a sample.
    """

    is_proper: ClassVar[bool] = True
    offsets: Tensor

    def __init__(self, class_counts: Sequence[int], tau: Annotated[float, Ge(0)] = 1.0) -> None:
        super().__init__()
        self.tau = tau
        counts = torch.tensor(class_counts, dtype=torch.float64).clamp_min(0.5)
        self.register_buffer("offsets", (tau * (counts / counts.sum()).log()).float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> losses float32 (B,)."""
        return F.cross_entropy(logits.float() + self.offsets, labels, reduction="none")

    def correction(self) -> tuple[Tensor, Tensor]:
        """(log weights (C,), offsets (C,)): the class prior that is imposed, see `leyden.imbalance.class_prior`."""
        offsets = self.offsets.double()
        return torch.zeros_like(offsets), offsets
