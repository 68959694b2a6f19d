"""Contrastive loss of pairs: embeddings (B, 2, D) of unit length and the pairs' classes -> float32 losses (B,)."""

import math
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from leyden.utils.errors import UserError

MOST = 100.0  # of the scale, as in CLIP: above it a batch's hardest pair alone has a gradient


class InfoNCE(nn.Module):
    """Cross-entropy of finding a sample's partner in the batch, in both directions (Radford et al. 2021, CLIP).

    Logits are cosines times a scale (1 / temperature), which is learned as its logarithm and never above 100. A loss is
    the mean of the two directions. positives=class: any partner of the sample's class is right, by the sum of their
    probabilities (L_in of Khosla et al. 2020, arXiv 2004.11362; neighbourhood components, Goldberger et al. 2004):
    of 10 classes a tenth of a batch would be taken for wrong otherwise; pair: only its own; None: class where there are
    classes.

    A loss depends on the other samples of the batch, of all devices in training, and its least value on their number.

    Args:
        positives: which partners are right.
        num_outputs: classes of the data.
        scale: at the beginning.
    """

    task: ClassVar[str] = "contrastive"

    def __init__(
        self,
        positives: Literal["class", "pair"] | None = None,
        num_outputs: int = 2,
        scale: Annotated[float, Gt(0), Le(MOST)] = 10.0,
    ) -> None:
        super().__init__()
        self.positives = positives or ("class" if num_outputs > 1 else "pair")
        if self.positives == "class" and num_outputs < 2:
            raise UserError("loss.positives=class: the pairs have no classes; type loss.positives=pair")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Loss of each pair; targets int64 (B,)."""
        with (
            torch.no_grad()
        ):  # not in the graph: clipped there, a scale that is too large would have no gradient
            self.log_scale.clamp_(max=math.log(MOST))
        one, other = embeddings.float().unbind(1)
        logits = self.log_scale.exp() * one @ other.T
        itself = torch.eye(len(one), dtype=torch.bool, device=one.device)
        right = targets[:, None] == targets if self.positives == "class" else itself
        ways = [logits.log_softmax(way).where(right, -math.inf).logsumexp(way) for way in (0, 1)]
        return -torch.stack(ways).mean(0)
