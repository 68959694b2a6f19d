"""Nets for rows with several inputs: an encoder for each input, and one answer of those that are there.

net(inputs, present) -> (B, num_outputs). inputs: by name, (values (B, ...), lengths int64 (B,) or None). present: bool
(B,) by name, which samples have it; an input that is not named there is in all, one that is not in `inputs` in none.
What is absent is never computed with: an encoder gets the samples that have its input.

An encoder is any net with `features(x[, lengths]) -> (B, feature_width)`, `feature_width` and `head`, as all of
Leyden's are. In training the answers of each input alone are kept in `single_outputs`, for the auxiliary losses.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

Weight = Annotated[float, Ge(0)]
Width = Annotated[int, Ge(1)]


class Fusion(nn.Module):
    """What all fusion nets share: features of each input, and what each says alone.

    Args:
        encoders: a net for each input, by name.
        num_outputs: classes, labels or values.
        auxiliary: weight of the sum of the losses of each input alone, where there are several.

    Raises:
        ValueError: an encoder is no net with features and a head.
    """

    takes_named_inputs = True

    def __init__(self, encoders: Mapping[str, nn.Module], num_outputs: int, auxiliary: Weight = 0.0) -> None:
        super().__init__()
        for name, encoder in encoders.items():
            lacking = [part for part in ("features", "feature_width", "head") if not hasattr(encoder, part)]
            if lacking:
                raise ValueError(
                    f"the encoder of {name}, {type(encoder).__name__}, has no {', '.join(lacking)}, which fusion needs"
                )
        self.encoders = nn.ModuleDict(encoders)
        self.num_outputs = num_outputs
        self.auxiliary = auxiliary if len(encoders) > 1 else 0.0
        self.single_outputs: dict[str, Tensor] = {}

    @property
    def _widths(self) -> list[int]:
        return [int(encoder.feature_width) for encoder in self.encoders.values()]  # type: ignore[arg-type]

    def encode(
        self, inputs: Mapping[str, Any], present: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Features (B, F_m) of each of M inputs, zero where it is absent, and which are present: bool (B, M)."""
        first = next(iter(inputs.values())).values
        samples = first.shape[0]  # len() would make it a constant of an exported program
        everywhere = torch.ones(samples, dtype=torch.bool, device=first.device)
        features, there = [], []
        for name, encoder in self.encoders.items():
            given, own = inputs.get(name), (present or {}).get(name)
            if given is None:
                features.append(torch.zeros(samples, int(encoder.feature_width), device=first.device))  # type: ignore[arg-type]
                there.append(~everywhere)
            elif own is None:
                features.append(_features(encoder, given.values, given.lengths))
                there.append(everywhere)
            else:
                features.append(self._features_of(encoder, given, own))
                there.append(own)
        return features, torch.stack(there, dim=1)

    def _features_of(self, encoder: Any, given: Any, there: Tensor) -> Tensor:
        if torch.compiler.is_exporting():  # the number of rows that have it is no constant of a program
            return _features(encoder, given.values, given.lengths).masked_fill(~there[:, None], 0)
        rows = there.nonzero().squeeze(1)
        whole = given.values.new_zeros((len(there), encoder.feature_width), dtype=torch.get_default_dtype())
        if not len(rows):  # each parameter still has its part in the step, which other ranks wait for
            return whole + 0 * sum(p.sum() for p in encoder.parameters()) if self.training else whole
        lengths = None if given.lengths is None else given.lengths[rows]
        found = _features(encoder, given.values[rows], lengths)
        return whole.to(found.dtype).index_copy(0, rows, found)

    def _alone(self, features: Sequence[Tensor]) -> list[Tensor]:
        """What each encoder's own head says: M times (B, num_outputs)."""
        return [encoder.head(h) for encoder, h in zip(self.encoders.values(), features, strict=True)]  # type: ignore[operator]

    def features(self, inputs: Mapping[str, Any], present: Mapping[str, Tensor] | None = None) -> Tensor:
        """(B, sum of F_m): the features of all inputs, zero where one is absent."""
        return torch.cat(self.encode(inputs, present)[0], dim=1)

    @property
    def feature_width(self) -> int:
        """Width of `features`."""
        return sum(self._widths)

    def forward(self, inputs: Mapping[str, Any], present: Mapping[str, Tensor] | None = None) -> Tensor:
        """(B, num_outputs)."""
        features, there = self.encode(inputs, present)
        if self.training and self.auxiliary:
            self.single_outputs = dict(zip(self.encoders, self._alone(features), strict=True))
        return self.fuse(features, there)

    def fuse(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """Outputs (B, num_outputs) of the features (B, F_m) of M inputs and of which are there, bool (B, M)."""
        raise NotImplementedError


def _features(encoder: Any, values: Tensor, lengths: Tensor | None) -> Tensor:
    found: Tensor = encoder.features(values) if lengths is None else encoder.features(values, lengths)
    return found


class LateFusion(Fusion):
    """Product of experts: the sum of the logits of the inputs that are there, less what they all know already.

    z = sum_m z_m - (n - 1) log prior, n inputs being there: by Bayes' rule the logits of the class given all inputs,
    where these are independent given the class and each z_m is calibrated. The prior is that of the training samples;
    of labels its log odds. Values, which have none, are averaged.
    """

    log_prior: Tensor

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_outputs: int,
        class_counts: Sequence[int],
        num_samples: int,
        auxiliary: Weight = 0.0,
    ) -> None:
        super().__init__(encoders, num_outputs, auxiliary)
        counts = torch.tensor(class_counts, dtype=torch.float32) + 0.5
        is_classes = sum(class_counts) == num_samples
        prior = counts.div(counts.sum()).log() if is_classes else (counts / (num_samples + 1)).logit()
        self.averages = not len(class_counts)
        self.register_buffer("log_prior", prior, persistent=False)

    def fuse(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """As the class says."""
        alone = torch.stack(self._alone(features), dim=1)  # (B, M, C)
        total = alone.masked_fill(~present[..., None], 0).sum(1)
        count = present.sum(1, keepdim=True)
        return total / count.clamp(min=1) if self.averages else total - (count - 1) * self.log_prior


class _Projected(Fusion):
    """Features of one width, and a head over what is made of them."""

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_outputs: int,
        width: int,
        auxiliary: float,
        dropout: float,
    ) -> None:
        super().__init__(encoders, num_outputs, auxiliary)
        if not self.auxiliary:  # nothing is asked of what each encoder says alone
            for encoder in encoders.values():
                encoder.head.requires_grad_(False)
        self.projections = nn.ModuleList(nn.Linear(own, width) for own in self._widths)
        self.dropout = nn.Dropout(dropout)

    def _tokens(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """(B, M, width), zero where an input is absent."""
        projected = torch.stack([p(h) for p, h in zip(self.projections, features, strict=True)], dim=1)
        return projected.masked_fill(~present[..., None], 0)


class ConcatFusion(_Projected):
    """A hidden layer over the concatenated features, with a learned embedding in place of those of an absent input.

    width: of each input's projection and of the hidden layer.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_outputs: int,
        width: Width = 64,
        auxiliary: Weight = 0.0,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    ) -> None:
        super().__init__(encoders, num_outputs, width, auxiliary, dropout)
        self.absent = nn.Parameter(torch.zeros(len(encoders), width))
        self.hidden = nn.Linear(len(encoders) * width, width)
        self.head = nn.Linear(width, num_outputs)

    def fuse(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """As the class says."""
        tokens = self._tokens(features, present).relu() + self.absent * ~present[..., None]
        return self.head(self.dropout(self.hidden(tokens.flatten(1)).relu()))


class GatedFusion(_Projected):
    """h = sum_m g_m * tanh(W_m h_m), g = softmax over the inputs that are there (gated units, Arevalo et al. 2017).

    arXiv 1702.01992, with a softmax over inputs for each of `width` units, so that it holds for any number of them.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_outputs: int,
        width: Width = 64,
        auxiliary: Weight = 0.0,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    ) -> None:
        super().__init__(encoders, num_outputs, width, auxiliary, dropout)
        self.gate = nn.Linear(len(encoders) * width, len(encoders) * width)
        self.head = nn.Linear(width, num_outputs)

    def fuse(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """As the class says."""
        tokens = self._tokens(features, present)
        gates = self.gate(tokens.flatten(1)).view_as(tokens)
        shares = gates.masked_fill(~present[..., None], float("-inf")).softmax(dim=1)
        return self.head(self.dropout((shares * tokens.tanh()).sum(1)))


class AttentionFusion(_Projected):
    """Cross-attention between inputs: each is a token that attends to all that are there, then their mean.

    One layer of a transformer's encoder (Vaswani et al. 2017) over M tokens, each with an embedding of its input added;
    absent ones are masked.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_outputs: int,
        width: Width = 64,
        heads: Annotated[int, Ge(1)] = 4,
        auxiliary: Weight = 0.0,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    ) -> None:
        super().__init__(encoders, num_outputs, width, auxiliary, dropout)
        if width % heads:
            raise ValueError(f"width={width} cannot be divided among heads={heads}")
        self.kinds = nn.Parameter(torch.randn(len(encoders), width) * 0.02)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.head = nn.Linear(width, num_outputs)

    def fuse(self, features: Sequence[Tensor], present: Tensor) -> Tensor:
        """As the class says."""
        tokens = self._tokens(features, present) + self.kinds
        normed = self.norm(tokens)
        mixed = (
            tokens + self.attention(normed, normed, normed, key_padding_mask=~present, need_weights=False)[0]
        )
        mixed = mixed + self.mlp(mixed)
        mean = mixed.masked_fill(~present[..., None], 0).sum(1) / present.sum(1, keepdim=True).clamp(min=1)
        return self.head(self.dropout(mean))
