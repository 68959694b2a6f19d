"""Cross-entropy, the default: logits (B, C) and labels int64 (B,) -> float32 losses (B,)."""

from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional as F


class CrossEntropy(nn.Module):
    """-log softmax(z)_y; smoothed: (1 - s) of it plus s times the mean over all classes (Szegedy+ 2016)."""

    def __init__(self, label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.is_proper = label_smoothing == 0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C) of any precision, labels int64 (B,) -> losses float32 (B,)."""
        return F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=self.label_smoothing)
