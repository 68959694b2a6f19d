"""Parameter groups of an optimizer: with and without weight decay."""

from collections.abc import Iterator
from typing import Any

from torch import nn


def decayed(module: nn.Module) -> Iterator[nn.Parameter]:
    """Trainable matrices and kernels, which are decayed; not biases and norms, which have one dimension."""
    return (p for p in module.parameters() if p.requires_grad and p.ndim > 1)


def decay_groups(module: nn.Module, everything: bool) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: weights with its weight decay, norms and biases without.

    everything: one group, all decayed (the recipe of He et al. 2016 for CIFAR).
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    weights = [p for p in trainable if everything or p.ndim > 1]
    rest = [p for p in trainable if not everything and p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": weights}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
