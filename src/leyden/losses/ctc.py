"""CTC (Graves et al. 2006): logits of frames and targets of unknown places -> float32 losses (B,).

Outputs are (B, T, C) with the blank first, targets int64 (B, L) padded with -1. The loss of a sample is -log of the
probability of all paths that spell the target: so a long recording weighs more than a short one, as it does in the
error rate of a corpus (torch's own "mean" divides by the length of the target, which favours short ones).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CTC(nn.Module):
    """-log sum over paths of the product of their frames' probabilities; less repeats and blanks a path is the target.

    A target that needs more frames than there are has an infinite loss: such rows are refused before training
    (`leyden.training.build`), and none is silently counted as 0 (torch's zero_infinity).
    """

    task: ClassVar[str] = "ctc"

    def forward(self, logits: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Loss of each sample, in float32 whatever the logits' precision.

        Args:
            logits: (B, T, C); or (B, C), a constant answer: the same in each of as many frames as any target needs.
            targets: int64 (B, L), 1 .. C - 1, padded with -1; a row of -1 alone has blanks as its one path.
            lengths: int64 (B,), frames of each sample; None: all T.
        """
        if logits.ndim == 2:
            logits = logits[:, None].expand(-1, 2 * targets.shape[1], -1)
        frames = torch.full_like(targets[:, 0], logits.shape[1]) if lengths is None else lengths
        units = (targets >= 0).sum(1)
        # normalised right here: the gradient of torch's kernel holds for normalised log-probabilities alone
        log_p = logits.float().log_softmax(2).transpose(0, 1)
        device = log_p.device
        if device.type != "cpu" and torch.are_deterministic_algorithms_enabled():
            log_p = log_p.cpu()  # there is no deterministic backward pass on a GPU
        there = log_p.device
        losses = F.ctc_loss(
            *(log_p, targets.clamp(min=0).to(there), frames.to(there), units.to(there)), reduction="none"
        )
        return losses.to(device)
