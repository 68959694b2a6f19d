"""A net as a function of tensors alone, for what takes no mappings: torch.export, and the tracer of a graph."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from leyden.data.batch import Batch, Input


class Flattened(nn.Module):
    """A net with several named inputs, all of them present, as a function of their values and lengths.

    Args:
        net: with named inputs.
        inputs: which there are, and which of them have lengths.
    """

    def __init__(self, net: nn.Module, inputs: Mapping[str, Input]) -> None:
        super().__init__()
        self.net = net
        self._has_lengths = {name: given.lengths is not None for name, given in inputs.items()}

    def forward(self, *tensors: Tensor) -> Any:
        """tensors: (values[, lengths]) of each input, one after the other, as `flattened` gives them."""
        left = iter(tensors)
        return self.net(
            {name: Input(next(left), next(left) if has else None) for name, has in self._has_lengths.items()}
        )


def flattened(net: nn.Module, batch: Batch) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The net that takes tensors alone, and those of a prepared batch: net(values[, lengths]) for one input."""
    tensors = tuple(x for given in batch.inputs.values() for x in given if x is not None)
    return (Flattened(net, batch.inputs) if getattr(net, "takes_named_inputs", False) else net), tensors
