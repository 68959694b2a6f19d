"""Class-dependent temperatures (CDT): logits (B, C), labels (B,) -> losses (B,)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F


class CDT(nn.Module):
    """Cross-entropy of z_c / a_c with a_c = (n_max / n_c)^gamma; evaluation uses z as it is.

    Ye et al. 2020 (arXiv 2001.01385): rare classes need larger logits in training, which compensates for the
    feature deviation between their training and test samples. Imposes no class prior.
    """

    temperatures: Tensor

    def __init__(self, class_counts: Sequence[int], gamma: Annotated[float, Ge(0)] = 0.2) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64).clamp_min(1)
        self.register_buffer("temperatures", ((counts.max() / counts) ** gamma).float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> losses float32 (B,)."""
        return F.cross_entropy(logits.float() / self.temperatures, labels, reduction="none")
