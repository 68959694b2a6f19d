"""Softmax and sigmoid focal loss, which differ: logits (B, C) and labels int64 (B,) -> float32 losses (B,).

Both weight -log p by (1 - p)^gamma, which reduces the weight of well-classified samples. Both are computed from
log(1 - p) without subtraction: loss and gradient are finite for any finite logits and any gamma, also below 1.
"""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F


class FocalSoftmax(nn.Module):
    """-(1 - p_y)^gamma log p_y with p = softmax(z), as in LDAM-DRW's comparison (Cao+ 2019), with gamma 1."""

    def __init__(self, gamma: Annotated[float, Ge(0)] = 1.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> losses float32 (B,)."""
        log_p = logits.float().log_softmax(1)
        label = labels[:, None]
        rest = log_p.scatter(1, label, float("-inf")).logsumexp(1)  # log(1 - p_y)
        return -torch.exp(self.gamma * rest) * log_p.gather(1, label).squeeze(1)


class FocalSigmoid(nn.Module):
    """Sum over classes c of -(1 - p_t)^gamma log p_t; p_t = sigmoid(z_c) for c = y, else 1 - sigmoid(z_c).

    gamma is 2 in the paper (Lin+ 2017), 0.5 in class-balanced focal loss (Cui+ 2019).
    """

    def __init__(self, gamma: Annotated[float, Ge(0)] = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> losses float32 (B,)."""
        sign = torch.full_like(logits, -1.0, dtype=torch.float32).scatter(1, labels[:, None], 1.0)
        margin = sign * logits.float()
        return (torch.exp(self.gamma * F.logsigmoid(-margin)) * -F.logsigmoid(margin)).sum(1)
