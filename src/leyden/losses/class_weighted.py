"""Any loss times a weight of the label's class: logits (B, C), labels int64 (B,) -> float32 losses (B,).

Class-balanced focal loss (Cui et al. 2019) is focal loss under effective-number weights; cost-sensitive
cross-entropy is cross-entropy under inverse ones.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

Scheme = Literal["inverse", "square_root", "effective_number"]


class Weighted(nn.Module):
    """w_y times the loss of each sample.

    inverse: w_c ~ 1 / n_c.   square_root: 1 / sqrt(n_c).   effective_number: (1 - beta) / (1 - beta^n_c), the inverse
    of the effective number of samples (Cui et al. 2019, arXiv 1901.05555).

    The weights are scaled so that they are 1 on the average training sample, sum_c n_c w_c = N: then the loss, and with
    it the learning rate, keeps its size. (Cui et al. scale to sum_c w_c = C; torch's weighted mean divides by the
    weights of each batch, which is the same on average.) A class without training samples weighs 0.

    Args:
        loss: of each sample, without weights.
        class_counts: training samples of each class (C,).
        scheme: how the weight falls with the count.
        beta: of effective_number; near 1 it is inverse, at 0 all weights are 1.
    """

    weights: Tensor

    def __init__(
        self,
        loss: nn.Module,
        class_counts: Sequence[int],
        scheme: Scheme = "inverse",
        beta: Annotated[float, Ge(0), Lt(1)] = 0.9999,
    ) -> None:
        super().__init__()
        self.loss = loss
        counts = torch.tensor(class_counts, dtype=torch.float64)
        raw = torch.where(counts > 0, _raw(counts, scheme, beta), 0.0)
        scaled = raw * counts.sum() / (raw * counts).sum()
        self.register_buffer("weights", scaled.float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted loss of each sample."""
        losses: Tensor = self.weights[labels] * self.loss(logits, labels)
        return losses

    def correction(self) -> tuple[Tensor, Tensor]:
        """(log weights (C,), offsets (C,)): the class prior that is imposed, see `leyden.imbalance.class_prior`."""
        loss: Any = self.loss
        inner = loss.correction() if hasattr(loss, "correction") else None
        log_weights = self.weights.double().clamp_min(1e-300).log()
        return (
            (log_weights, torch.zeros_like(log_weights))
            if inner is None
            else (log_weights + inner[0], inner[1])
        )


def _raw(counts: Tensor, scheme: Scheme, beta: float) -> Tensor:
    there = counts.clamp_min(1)
    if scheme == "inverse":
        return 1 / there
    if scheme == "square_root":
        return there.rsqrt()
    return (1 - beta) / (1 - beta**there)
