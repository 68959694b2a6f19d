"""Samples as explanations see them: a point, made of units that can be taken away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class View:
    """A batch of B samples, their baseline and what the net makes of them.

    A unit is what a map has one number for: a pixel, a token, a cell of a spectrogram, a stretch of a waveform.

    Attributes:
        values: float32 (B, ...), the point: pictures (B, C, H, W) as the net gets them, embedded tokens (B, T, D),
            features of a frontend (B, 1, bins, frames), or waveforms (B, n).
        baseline: like values, what "absent" means for a difference: the data's mean, the mask token, the band's mean.
        baseline_name: in words.
        fill: like values, what stands in a unit that a test takes away: the blurred picture, the band's mean.
        fill_name: in words.
        places: bool (B, *units), the units that there are; padding is none.
        score: values (M, ...) and places in the batch int64 (M,) of the samples they stand for -> (M,), the scalar
            that is explained, differentiable. M is any number: methods repeat samples.
        scalar: what the score is, in words.
        to_units: attributions (M, ...) like values -> (M, *units), sums over channels or embedding.
        from_units: numbers or bools (M, *units) -> broadcastable to values (M, ...).
        outputs: which of the net's outputs is explained, of each sample; (): unknown.
        scalars: `scalar` of each sample, with the class, label or value; (): the same for all.
        spans: by how much that output differs over the data, of each sample; (): unknown.
        window: of occlusion, in units, where none is chosen; (): a sixth of each side.
        references: (R, ...) like values for each of R training rows, cut or repeated to the batch's length.
        net: whose layers a method may look into.
    """

    values: Tensor
    baseline: Tensor
    baseline_name: str
    fill: Tensor
    fill_name: str
    places: Tensor
    score: Score
    scalar: str
    to_units: Callable[[Tensor], Tensor]
    from_units: Callable[[Tensor], Tensor]
    outputs: Sequence[int] = ()
    scalars: Sequence[str] = ()
    spans: Sequence[float] = ()
    window: Sequence[int] = ()
    references: Tensor = field(default_factory=lambda: torch.zeros(0))
    net: nn.Module = field(default_factory=nn.Identity)

    @property
    def lengths(self) -> list[int]:
        """How far the last axis of each sample's units reaches without padding."""
        there = self.places.reshape(len(self.places), -1, self.places.shape[-1]).any(1)
        found: list[int] = there.sum(1).tolist()
        return found
