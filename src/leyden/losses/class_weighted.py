"""Any loss times the weight of the label's class: logits (B, C), labels int64 (B,) -> float32 losses (B,).

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
    """A loss times w_y, the weight of the sample's class.

    inverse: w_c ~ 1 / n_c.   square_root: 1 / sqrt(n_c).   effective_number: (1 - beta) / (1 - beta^n_c), the inverse
    of the effective number of samples (Cui et al. 2019, arXiv 1901.05555).

    The weights are scaled to a mean of 1 over the training samples, sum_c n_c w_c = N, to preserve the scale of the
    loss and of the learning rate. (Cui et al. scale to sum_c w_c = C; torch's weighted mean divides by the weights of
    each batch, which is the same on average.) A class without training samples has weight 0.

    Args:
        loss: a per-sample loss.
        class_counts: training samples of each class (C,).
        scheme: how the weight decreases with the count.
        beta: for effective_number; towards 1 weights approach inverse ones, at 0 all weights are 1.
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
        self.is_proper = bool(getattr(loss, "is_proper", False))
        counts = torch.tensor(class_counts, dtype=torch.float64)
        raw = torch.where(counts > 0, _unscaled_weights(counts, scheme, beta), 0.0)
        scaled = raw * counts.sum() / (raw * counts).sum()
        self.register_buffer("weights", scaled.float(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C), labels int64 (B,) -> weighted losses float32 (B,)."""
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


def _unscaled_weights(counts: Tensor, scheme: Scheme, beta: float) -> Tensor:
    positive = counts.clamp_min(1)
    if scheme == "inverse":
        return 1 / positive
    if scheme == "square_root":
        return positive.rsqrt()
    return (1 - beta) / (1 - beta**positive)
