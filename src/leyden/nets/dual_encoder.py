"""Two encoders into one space: net(inputs, present) -> embeddings (B, 2, width) of unit length."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.nets.fusion import Fusion, Width


class DualEncoder(Fusion):
    """A linear projection of each encoder's features to one width, normalised (CLIP, Radford et al. 2021).

    An input that is absent has zeros. Heads of the encoders are taken off: nothing would train them.

    Args:
        encoders: a net for each of the two inputs, by name.
        num_outputs: classes of the data.
        width: of the embeddings.

    Raises:
        ValueError: not two encoders, or one without features.
    """

    task = "contrastive"

    def __init__(self, encoders: Mapping[str, nn.Module], num_outputs: int, width: Width = 64) -> None:
        super().__init__(encoders, num_outputs)
        if len(encoders) != 2:
            raise ValueError(
                f"pairs have two inputs, the data have {len(encoders)} ({', '.join(encoders)}); choose two of several "
                "by data.source.inputs=[...]"
            )
        for encoder in self.encoders.values():
            encoder.head = nn.Identity()
        self.width = width
        self.projections = nn.ModuleList(nn.Linear(own, width) for own in self._widths)

    def fuse(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Embeddings (B, 2, width) of the features (B, F_m)."""
        projected = [
            F.normalize(p(h).float(), dim=1) for p, h in zip(self.projections, features, strict=True)
        ]
        return torch.stack(projected, dim=1).masked_fill(~present[..., None], 0)
