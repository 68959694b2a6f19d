"""Heads: what turns a net's features (B, F) into logits (B, C), in place of its last linear layer.

    heads.replace(net, num_outputs, Cosine(scale=30.0))

A head is an `nn.Linear`, so its `weight` and `bias` have the names they had, and `init.from` fits whatever head the
first stage had.
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from annotated_types import Gt, Interval
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.utils.errors import UserError


class Head(Protocol):
    """Makes a head out of the net's own last layer. A user's own is any object that does."""

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """The layer that takes the place of `linear`."""


@dataclass(frozen=True)
class Plain:
    """The net's own last layer."""

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """`linear` itself."""
        return linear


@dataclass(frozen=True)
class Cosine:
    """scale times the cosine between features and class weights: no class gains by the length of its weights.

    Needed by LDAM (Cao et al. 2019, arXiv 1906.07413); scale 30 as there.
    """

    scale: Annotated[float, Gt(0)] = 30.0

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """Newly drawn class weights, as in the authors' code: uniform, of length 1."""
        return CosineLinear(linear.in_features, linear.out_features, self.scale)


@dataclass(frozen=True)
class Scaled:
    """Learnable weight scaling (LWS, Kang et al. 2020, arXiv 1910.09217): logits times a learnt factor a class.

    A second stage: `init.from=RUN init.freeze=[backbone,net.*.weight,net.*.bias] head=scaled` learns the factors alone.
    """

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """The same weights, all factors 1."""
        return ScaledLinear(linear)


@dataclass(frozen=True)
class TauNormalised:
    """Class weights divided by their length to the power tau (Kang et al. 2020, arXiv 1910.09217); the bias stays.

    It corrects long tails where the length grows with the class count. Under Adam it does not (Menon et al. 2021).
    """

    tau: Annotated[float, Interval(ge=0, le=1)] = 1.0

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """The same weights, normalised whenever they are used."""
        return TauNormalisedLinear(linear, self.tau)


class CosineLinear(nn.Linear):
    """See `Cosine`."""

    def __init__(self, in_features: int, out_features: int, scale: float) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.scale = scale

    def reset_parameters(self) -> None:
        """Directions drawn uniformly from the cube, then cut to length 1."""
        with torch.no_grad():
            self.weight.uniform_(-1, 1)
            self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) -> (B, C), each in -scale .. scale; in float32, for a length squared overflows in 16 bits."""
        cosines = F.linear(F.normalize(input.float(), dim=1), F.normalize(self.weight.float(), dim=1))
        return self.scale * cosines


class ScaledLinear(nn.Linear):
    """See `Scaled`."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.load_state_dict(linear.state_dict())
        self.factor = nn.Parameter(torch.ones(linear.out_features))

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) -> (B, C)."""
        return self.factor * super().forward(input)


class TauNormalisedLinear(nn.Linear):
    """See `TauNormalised`."""

    def __init__(self, linear: nn.Linear, tau: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.load_state_dict(linear.state_dict())
        self.tau = tau

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) -> (B, C)."""
        lengths = self.weight.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return F.linear(input, self.weight / lengths**self.tau, self.bias)


def find(net: nn.Module, num_outputs: int) -> str:
    """The name of a net's head: its last linear layer with as many outputs as there are classes; "" is the net itself.

    Raises:
        UserError: there is none.
    """
    heads = [n for n, m in net.named_modules() if isinstance(m, nn.Linear) and m.out_features == num_outputs]
    if not heads:
        raise UserError(
            f"{type(net).__name__} has no linear layer with {num_outputs} outputs, so it has no head to replace, "
            "redraw or freeze: choose head=linear and name parameters by globs"
        )
    return heads[-1]


def replace(net: nn.Module, num_outputs: int, make: Head) -> None:
    """Put another head in the place of the net's own.

    Raises:
        UserError: the net has none.
    """
    name = find(net, num_outputs)
    if not name:
        raise UserError(
            f"{type(net).__name__} is a linear layer itself, whose head cannot be replaced: head=linear"
        )
    own = net.get_submodule(name)
    assert isinstance(own, nn.Linear)
    parent, _, attribute = name.rpartition(".")
    setattr(net.get_submodule(parent), attribute, make(own))
