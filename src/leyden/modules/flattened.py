"""A net as a function of tensors alone, for what takes no mappings: torch.export, and the tracer of a graph."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from leyden.data.batch import Batch, Input


class Flattened(nn.Module):
    """A net with several named inputs as a function of their values, lengths, and which samples have them.

    Args:
        net: with named inputs.
        inputs: which there are, and which of them have lengths.
        has_presence: whether it is told which samples have each input; all are present otherwise.
    """

    def __init__(self, net: nn.Module, inputs: Mapping[str, Input], has_presence: bool) -> None:
        super().__init__()
        self.net, self._has_presence = net, has_presence
        self._has_lengths = {name: given.lengths is not None for name, given in inputs.items()}

    def forward(self, *tensors: Tensor) -> Any:
        """tensors: (values[, lengths]) of each input, then bool (B,) of each, in the order of `flattened`."""
        left = iter(tensors)
        inputs = {
            name: Input(next(left), next(left) if has else None) for name, has in self._has_lengths.items()
        }
        return self.net(inputs, dict(zip(inputs, left, strict=True)) if self._has_presence else None)


def flattened(
    net: nn.Module, batch: Batch, with_presence: bool = False
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The net that takes tensors alone, and those of a prepared batch: net(values[, lengths]) for one input.

    Args:
        net: to be called.
        batch: prepared.
        with_presence: a net with named inputs also takes which samples have each, bool (B,).
    """
    tensors = tuple(x for given in batch.inputs.values() for x in given if x is not None)
    if not getattr(net, "takes_named_inputs", False):
        return net, tensors
    if with_presence:
        everywhere = torch.ones_like(batch.rows, dtype=torch.bool)
        tensors += tuple(batch.present.get(name, everywhere.clone()) for name in batch.inputs)
    return Flattened(net, batch.inputs, with_presence), tensors
