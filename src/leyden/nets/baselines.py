"""The least that a net can do: the best constant answer, whatever the input."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConstantNet(nn.Module):
    """The task's best constant outputs: the log class prior, the log-odds of each label, or the mean of the targets.

    It has nothing to learn: `outputs` is a parameter only because an optimizer needs one, and
    `leyden.modules.untrained.Untrained` leaves it as it is.

    Args:
        trivial_outputs: (num_outputs,).
    """

    reads_nothing = True

    def __init__(self, trivial_outputs: Sequence[float]) -> None:
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(trivial_outputs, dtype=torch.float64).float())

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Anything (B, ...) -> outputs (B, num_outputs)."""
        return self.outputs.repeat(x.shape[0], 1)
