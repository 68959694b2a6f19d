"""Label-distribution-aware margins (LDAM): logits (B, C) of a cosine head, labels (B,) -> losses (B,)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F


class LDAM(nn.Module):
    """Cross-entropy in which class c must win by a margin Delta_c = K / n_c^(1/4).

    Cao et al. 2019 (arXiv 1906.07413, equation 13): loss of s (cos_y - Delta_y) against s cos_j. The head gives
    s cos (head=cosine), from which s Delta_y is subtracted here. Imposes no class prior.

    Args:
        class_counts: training samples of each class (C,).
        max_margin: margin of the rarest class, which determines K.
        scale: s, the scale of the head.
    """

    needs_cosine: ClassVar[bool] = True
    margins: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: Annotated[float, Gt(0)] = 0.5,
        scale: Annotated[float, Gt(0)] = 30.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        roots = torch.tensor(class_counts, dtype=torch.float64).clamp_min(1) ** -0.25
        self.register_buffer("margins", (max_margin * roots / roots.max()).float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> losses float32 (B,)."""
        lowered = (self.scale * self.margins)[labels][:, None]
        adjusted = logits.float().scatter_add(1, labels[:, None], -lowered)
        return F.cross_entropy(adjusted, labels, reduction="none")
