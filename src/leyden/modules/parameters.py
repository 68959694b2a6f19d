"""Which parameters are decayed, frozen or taken from elsewhere."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from torch import Tensor, nn


def decayed(module: nn.Module) -> Iterator[nn.Parameter]:
    """Trainable weights proper: matrices and kernels, not biases and norms (which have one dimension)."""
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


def names_of(module: nn.Module, patterns: Sequence[str], head: str) -> set[str]:
    """The parameters that globs name; "head" stands for those whose names begin with `head`, "backbone" for all others.

    Raises:
        ValueError: a pattern matches no parameter.
    """
    everything = [name for name, _ in module.named_parameters()]
    meant = {"head": {n for n in everything if n.startswith(head)}}
    meant["backbone"] = set(everything) - meant["head"]
    found: set[str] = set()
    for pattern in patterns:
        matching = meant.get(pattern) or {name for name in everything if fnmatch(name, pattern)}
        if not matching:
            there = sorted({name.rpartition(".")[0] + ".*" for name in everything})[:20]
            raise ValueError(
                f"{pattern!r} matches no parameter; there are: head, backbone, {', '.join(there)}"
            )
        found |= matching
    return found


def freeze(module: nn.Module, names: Collection[str]) -> int:
    """Freeze the parameters of these names; returns how many values that are."""
    frozen = 0
    for name, parameter in module.named_parameters():
        if name in names:
            frozen += parameter.numel() if parameter.requires_grad else 0
            parameter.requires_grad = False
    return frozen


def transfer(module: nn.Module, weights: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Copy what agrees in name and shape; returns (names copied, names of the module left as they were).

    Raises:
        ValueError: nothing agrees.
    """
    own = module.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    if not any(k in dict(module.named_parameters()) for k in fits):
        raise ValueError(f"no weight of the {len(weights)} there fits this net by name and shape")
    module.load_state_dict(fits, strict=False)
    return sorted(fits), sorted(set(own) - set(fits))
