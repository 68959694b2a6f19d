"""Multi-label losses: logits (B, L) and targets (B, L), each 0 .. 1 -> float32 losses (B,), the mean over the labels.

Each label is a decision of its own, so the classes' softmax has no part in it. Targets between 0 and 1 (of mixup, say)
weigh the terms of yes and no.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Interval, Lt
from torch import Tensor, nn
from torch.nn import functional as F

Scheme = Literal["inverse", "square_root", "none"]
_POWERS = {"inverse": 1.0, "square_root": 0.5, "none": 0.0}


class BinaryCrossEntropy(nn.Module):
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(z), t the target.

    Smoothed: t (1 - s) + s / 2 takes the place of t (Szegedy et al. 2016, arXiv 1512.00567, for two classes).
    """

    task: ClassVar[str] = "multilabel"

    def __init__(self, label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.is_proper = label_smoothing == 0

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample, in float32 whatever the logits' precision."""
        smoothed = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits.float(), smoothed, reduction="none").mean(1)


class WeightedBinaryCrossEntropy(nn.Module):
    """-w_l t log p - (1 - t) log(1 - p): positives of a rare label count more.

    inverse: w_l = (N - n_l) / n_l, so that the positives of a label weigh as much as its negatives (the pos_weight of
    torch's BCEWithLogitsLoss).   square_root: the root of it.   none: 1, plain cross-entropy.

    The net then answers as if a label were had by half of the samples (inverse): at logit 0 recall counts as much as
    specificity, and probabilities are too high.

    Args:
        class_counts: training samples that have each label (L,).
        num_samples: training samples N.
        scheme: how the weight falls with the count.
        max_weight: weights are cut to 1 / max_weight .. max_weight: a label that one sample in 10,000 has would
            otherwise rest on one large gradient. A label without positives or negatives gets an end of this range.
    """

    task: ClassVar[str] = "multilabel"
    is_proper: ClassVar[bool] = True
    weights: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        num_samples: int,
        scheme: Scheme = "inverse",
        max_weight: Annotated[float, Ge(1)] = 100.0,
    ) -> None:
        super().__init__()
        positives = torch.tensor(class_counts, dtype=torch.float64)
        odds = (num_samples - positives).clamp_min(
            0
        ) / positives  # of no against yes; infinite without positives
        weights = odds.nan_to_num(1.0) ** _POWERS[scheme]
        self.register_buffer("weights", weights.clamp(1 / max_weight, max_weight).float(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Weighted loss of each sample."""
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), targets.float(), reduction="none", pos_weight=self.weights
        )
        return losses.mean(1)

    def correction(self) -> tuple[Tensor, Tensor]:
        """(log weights (L,), offsets (L,)): the label prior that is imposed, see `leyden.imbalance.class_prior`."""
        return self.weights.log(), torch.zeros_like(self.weights)


class LogitAdjustedBinaryCrossEntropy(nn.Module):
    """Cross-entropy of z + tau log(p_l / (1 - p_l)), p_l the label's share of the training samples; answers use z.

    Logit adjustment (Menon et al. 2021, arXiv 2007.07314, equation 10) of each label by itself. With tau = 1 the net
    learns the posterior as if a label were had by half of the samples. A label without positives, or without negatives,
    counts as if half a sample were one.

    Args:
        class_counts: training samples that have each label (L,).
        num_samples: training samples N.
        tau: how much of the prior is taken out.
    """

    task: ClassVar[str] = "multilabel"
    is_proper: ClassVar[bool] = True
    offsets: Tensor

    def __init__(
        self, class_counts: Sequence[int], num_samples: int, tau: Annotated[float, Ge(0)] = 1.0
    ) -> None:
        super().__init__()
        positives = torch.tensor(class_counts, dtype=torch.float64).clamp(0.5, num_samples - 0.5)
        self.register_buffer("offsets", (tau * (positives / num_samples).logit()).float(), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample."""
        shifted = logits.float() + self.offsets
        return F.binary_cross_entropy_with_logits(shifted, targets.float(), reduction="none").mean(1)

    def correction(self) -> tuple[Tensor, Tensor]:
        """(log weights (L,), offsets (L,)): the label prior that is imposed, see `leyden.imbalance.class_prior`."""
        return torch.zeros_like(self.offsets), self.offsets


class AsymmetricLoss(nn.Module):
    """-t (1 - p)^g+ log p - (1 - t) p_m^g- log(1 - p_m), p_m = max(p - m, 0): easy negatives, which are most, fade.

    Ridnik et al. 2021 (arXiv 2009.14119), with the setting that they recommend. They sum over the labels; here it is
    the mean, so that the learning rate does not depend on how many there are. A negative with p <= m has no gradient at
    all. Gradients flow through the focusing factors, too. Finite, with finite gradients, for any finite logits.

    Args:
        gamma_negative: focusing of the negatives.
        gamma_positive: focusing of the positives; not above gamma_negative in the paper.
        margin: m, subtracted from the probability of negatives.
    """

    task: ClassVar[str] = "multilabel"

    def __init__(
        self,
        gamma_negative: Annotated[float, Ge(0)] = 4.0,
        gamma_positive: Annotated[float, Ge(0)] = 0.0,
        margin: Annotated[float, Interval(ge=0, lt=1)] = 0.05,
    ) -> None:
        super().__init__()
        self.gamma_negative, self.gamma_positive, self.margin = gamma_negative, gamma_positive, margin

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample."""
        z, t = logits.float(), targets.float()
        log_p, log_rest = F.logsigmoid(z), F.logsigmoid(-z)
        positive = torch.exp(self.gamma_positive * log_rest) * -log_p
        return (t * positive + (1 - t) * self._negative(z, log_p, log_rest)).mean(1)

    def _negative(self, z: Tensor, log_p: Tensor, log_rest: Tensor) -> Tensor:
        if self.margin == 0:
            return torch.exp(self.gamma_negative * log_p) * -log_rest
        shifted = torch.sigmoid(z) - self.margin
        above = shifted > 0
        p_m = torch.where(above, shifted, 0.5)  # any number between 0 and 1: it is not used
        rest = torch.where(
            above, torch.sigmoid(-z) + self.margin, 1.0
        )  # 1 - p_m, without cancellation near p = 1
        return torch.where(above, p_m**self.gamma_negative * -torch.log(rest), 0.0)
