"""Label-aware smoothing (MiSLAS): logits (B, C), labels (B,) -> losses (B,)."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn

Share = Annotated[float, Interval(ge=0, lt=1)]


class LabelAwareSmoothing(nn.Module):
    """Cross-entropy with more smoothing for frequent classes, on which nets are overconfident on long-tailed data.

    Zhong et al. 2021 (arXiv 2104.00466), the concave form: eps_c = least + (most - least) sin(pi (n_c - n_min) / (2
    (n_max - n_min))), loss (1 - eps_y) CE + eps_y mean_c(-log p_c). Published for CIFAR-10: .3 and 0; CIFAR-100: .4
    and .1. Imposes no class prior.

    Args:
        class_counts: training samples of each class (C,).
        most: smoothing of the most frequent class.
        least: smoothing of the rarest class.
    """

    smoothing: Tensor

    def __init__(self, class_counts: Sequence[int], most: Share = 0.3, least: Share = 0.0) -> None:
        super().__init__()
        counts = torch.tensor(class_counts, dtype=torch.float64)
        spread = max(1.0, float(counts.max() - counts.min()))
        place = (counts - counts.min()) / spread
        epsilon = least + (most - least) * torch.sin(math.pi / 2 * place)
        self.register_buffer("smoothing", epsilon.float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> losses float32 (B,)."""
        log_p = logits.float().log_softmax(1)
        epsilon = self.smoothing[labels]
        return -(1 - epsilon) * log_p.gather(1, labels[:, None]).squeeze(1) - epsilon * log_p.mean(1)
