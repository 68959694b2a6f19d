"""Samples as explanations see them: a point, made of units that can be taken away."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

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
