"""Classification heads: features (B, F) -> logits (B, C), in place of a net's last linear layer.

    heads.replace(net, num_outputs, Cosine(scale=30.0))

A head is an `nn.Linear`: its `weight` and `bias` keep their names, so `init.from` works with any head of the first
stage.
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from annotated_types import Gt, Interval
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.utils.errors import UserError


class Head(Protocol):
    """Interface: builds a head from a net's last linear layer."""

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """The head that replaces `linear`."""


@dataclass(frozen=True)
class Plain:
    """The net's own last linear layer, unchanged."""

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """Returns `linear` itself."""
        return linear


@dataclass(frozen=True)
class Cosine:
    """scale times the cosine between features and class weights, independent of the norms of the class weights.

    Needed by LDAM (Cao et al. 2019, arXiv 1906.07413); scale 30 as there.
    """

    scale: Annotated[float, Gt(0)] = 30.0

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """A cosine head with newly initialised class weights, as in the authors' code: uniform, of norm 1."""
        return CosineLinear(linear.in_features, linear.out_features, self.scale)


@dataclass(frozen=True)
class Scaled:
    """Learnable weight scaling (LWS, Kang et al. 2020, arXiv 1910.09217): logits times a learned factor per class.

    A second stage: `init.from=RUN init.freeze=[backbone,net.*.weight,net.*.bias] head=scaled` trains only the factors.
    """

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """A head with the same weights and all factors 1."""
        return ScaledLinear(linear)


@dataclass(frozen=True)
class TauNormalised:
    """Class weights divided by their norm to the power tau (Kang et al. 2020, arXiv 1910.09217); bias unchanged.

    Corrects long tails if the norm grows with the class count; with Adam it does not (Menon et al. 2021).
    """

    tau: Annotated[float, Interval(ge=0, le=1)] = 1.0

    def __call__(self, linear: nn.Linear) -> nn.Linear:
        """A head with the same weights, normalised in every forward pass."""
        return TauNormalisedLinear(linear, self.tau)


class CosineLinear(nn.Linear):
    """Linear layer of `Cosine`: weight (C, F) of unit norm at initialisation, no bias."""

    def __init__(self, in_features: int, out_features: int, scale: float) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.scale = scale

    def reset_parameters(self) -> None:
        """Initialise the weights uniformly in a cube, then normalise them to norm 1."""
        with torch.no_grad():
            self.weight.uniform_(-1, 1)
            self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) -> (B, C) in [-scale, scale]; computed in float32, because squared norms overflow in 16 bits."""
        cosines = F.linear(F.normalize(input.float(), dim=1), F.normalize(self.weight.float(), dim=1))
        return self.scale * cosines


class ScaledLinear(nn.Linear):
    """Linear layer of `Scaled`: `factor` (C,) is trainable and starts at 1."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.load_state_dict(linear.state_dict())
        self.factor = nn.Parameter(torch.ones(linear.out_features))

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) -> (B, C): linear layer times `factor`."""
        return self.factor * super().forward(input)


class TauNormalisedLinear(nn.Linear):
    """Linear layer of `TauNormalised`: weights (C, F) are stored unnormalised."""

    def __init__(self, linear: nn.Linear, tau: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.load_state_dict(linear.state_dict())
        self.tau = tau

    def forward(self, input: Tensor) -> Tensor:
        """(B, F) -> (B, C) with weights / norm^tau."""
        norms = self.weight.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return F.linear(input, self.weight / norms**self.tau, self.bias)


def find(net: nn.Module, num_outputs: int) -> str:
    """Name of a net's head: its last linear layer with `num_outputs` outputs; "" is the net itself.

    Raises:
        UserError: there is none.
    """
    heads = [n for n, m in net.named_modules() if isinstance(m, nn.Linear) and m.out_features == num_outputs]
    if getattr(net, "takes_named_inputs", False):  # each encoder has one, which is not the whole net's
        heads = [name for name in heads if not name.startswith("encoders.")]
    if not heads:
        raise UserError(
            f"{type(net).__name__} has no linear layer with {num_outputs} outputs, so it has no head to replace, "
            "reinitialise or freeze: choose head=linear, and select parameters by globs"
        )
    return heads[-1]


def replace(net: nn.Module, num_outputs: int, make: Head) -> None:
    """Replace the head of a net, in place, by what `make` builds from it.

    Raises:
        UserError: the net has no head, or is a linear layer itself.
    """
    name = find(net, num_outputs)
    if not name:
        raise UserError(
            f"{type(net).__name__} is a single linear layer, whose head cannot be replaced: choose head=linear"
        )
    own = net.get_submodule(name)
    assert isinstance(own, nn.Linear)
    parent, _, attribute = name.rpartition(".")
    setattr(net.get_submodule(parent), attribute, make(own))
