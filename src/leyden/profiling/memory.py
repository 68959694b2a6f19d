"""Memory in bytes: parameters, gradients, optimizer state, and activations kept for the backward pass."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Activations:
    """Bytes of the tensors that autograd keeps: each storage once, without parameters and buffers.

    with Activations(net).watching() as activations:
        loss = net(x).mean()
    activations.bytes
    """

    def __init__(self, root: nn.Module) -> None:
        self._excluded = {_key(t) for t in (*root.parameters(), *root.buffers())}
        self._sizes: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """Bytes kept for the backward pass."""
        return sum(self._sizes.values())

    @contextmanager
    def watching(self) -> Iterator["Activations"]:
        """Record one forward pass within the block; call backward outside of it."""
        with torch.autograd.graph.saved_tensors_hooks(self._record, lambda tensor: tensor):
            yield self

    def _record(self, tensor: Tensor) -> Tensor:
        if _key(tensor) not in self._excluded:
            self._sizes[_key(tensor)] = tensor.untyped_storage().nbytes()
        return tensor


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def tensor_bytes(tensors: Iterable[Tensor | None]) -> int:
    """Bytes of some tensors; None counts as 0."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimizer's state, such as momentum."""
    return tensor_bytes(
        t for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor)
    )
