"""Bytes: of parameters, gradients and an optimizer's state, and of the activations that a backward pass waits for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Activations:
    """What autograd keeps while it is on: each storage once, without parameters and buffers.

    with Activations(net).watching() as kept:
        loss = net(x).mean()
    kept.bytes
    """

    def __init__(self, root: nn.Module) -> None:
        self._known = {_key(t) for t in (*root.parameters(), *root.buffers())}
        self._sizes: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """Of all that is kept for the backward pass."""
        return sum(self._sizes.values())

    @contextmanager
    def watching(self) -> Iterator["Activations"]:
        """For the time of a forward pass; call no backward within."""
        with torch.autograd.graph.saved_tensors_hooks(self._note, lambda kept: kept):
            yield self

    def _note(self, tensor: Tensor) -> Tensor:
        if _key(tensor) not in self._known:
            self._sizes[_key(tensor)] = tensor.untyped_storage().nbytes()
        return tensor


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def tensor_bytes(tensors: Iterable[Tensor | None]) -> int:
    """Bytes of some tensors."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of what an optimizer remembers between steps."""
    return tensor_bytes(
        t for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor)
    )
