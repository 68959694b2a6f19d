"""A frontend that makes one vector of fixed size of every input: pixels, hashed character n-grams, mean log-mel.

With a linear net on it, this is the cheap model that a deep one has to beat, for each modality. The vector comes as a
picture, (B, C, h, w), so that any net for images takes it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.data.batch import Input
from leyden.data.transforms.audio import LogMel, valid
from leyden.data.transforms.image import Normalize
from leyden.utils.errors import UserError

# Weights of a linear layer; with Adam's moments and the checkpoints a run keeps eight times as many numbers.
_WEIGHTS = 1 << 22


class FixedVector(nn.Module):
    """The vector of the data's own modality; the options of the others have no effect.

    pixels: images larger than this are averaged down to it, each side. n_mels: bands of audio, each given by the
    mean and the standard deviation over time of its log power. ngrams: shortest and longest run of
    tokens (with the tokenizer Char: of characters) that is counted in a text; buckets: how many numbers they are
    hashed to, a power of two, by default 32768, or for more than 128 classes as many as keep a linear model within 4
    million weights.
    All vectors are multiplied by one number, so that their absolute values sum to REACH in the mean over training: a
    step of Adam then moves a linear model's logits by at most its rate times that, whatever the vector's size.
    """

    REACH = 200.0  # a few hundred steps of Adam at 0.001, or of SGD at 0.1, come near the optimum
    FEW = 4  # batches of the fit that the number is taken from

    gain: Tensor

    def __init__(
        self,
        modality: str,
        in_channels: int,
        image_size: tuple[int, int],
        sample_rate: int,
        num_outputs: int,
        pixels: Annotated[int, Ge(1)] = 32,
        n_mels: Annotated[int, Ge(1)] = 64,
        ngrams: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = (2, 4),
        buckets: Annotated[int, Interval(ge=2, le=1 << 24)] | None = None,
    ) -> None:
        super().__init__()
        makers: dict[str, Callable[[], Pixels | NGrams | Bands]] = {
            "image": lambda: Pixels(in_channels, image_size, pixels),
            "text": lambda: NGrams(ngrams, buckets or affordable_buckets(num_outputs)),
            "audio": lambda: Bands(sample_rate, n_mels),
        }
        if modality not in makers:
            raise UserError(
                f"model.frontend: FixedVector is for {', '.join(makers)}, the data are {modality}"
            )
        self.part = makers[modality]()
        self.register_buffer("gain", torch.ones(()))

    def forward(self, given: Input) -> Input:
        """Raw inputs to float32 (B, C, h, w), without lengths."""
        made: Input = self.part(given)
        return made._replace(values=made.values * self.gain)

    def fit(self, batches: Iterable[Input]) -> None:
        """What scales the numbers, and all of them, from the training set."""
        batches = iter(batches)
        few = list(islice(batches, self.FEW))
        self.part.fit(chain(few, batches))
        sizes = torch.cat([self.part(given).values.abs().flatten(1).sum(1) for given in few])
        self.gain.copy_(self.REACH / sizes.mean().clamp(min=1.0))

    def facts(self) -> dict[str, Any]:
        """The picture's channels and size."""
        return self.part.facts()


def affordable_buckets(num_outputs: int) -> int:
    """A power of two from 256 to 32,768 with which a linear layer has at most 4 million weights, if one is so few."""
    affordable = max(1 << 8, _WEIGHTS // num_outputs)
    return min(1 << 15, 1 << affordable.bit_length() - 1)


class Pixels(nn.Module):
    """Normalised pixels, averaged down where there are more than `most` on a side."""

    def __init__(self, in_channels: int, image_size: tuple[int, int], most: int) -> None:
        super().__init__()
        self.normalize = Normalize(in_channels)
        self.channels = in_channels
        self.size = (min(image_size[0], most), min(image_size[1], most))

    def forward(self, given: Input) -> Input:
        """uint8 (B, C, H, W) to float32 (B, C, h, w)."""
        pixels: Input = self.normalize(given)
        return Input(F.adaptive_avg_pool2d(pixels.values, self.size))

    def fit(self, batches: Iterable[Input]) -> None:
        """Each channel's mean and deviation."""
        self.normalize.fit(batches)

    def facts(self) -> dict[str, Any]:
        """As the pixels are."""
        return {"in_channels": self.channels, "image_size": self.size}


class NGrams(nn.Module):
    """Counts of n-grams of token ids, hashed: log(1 + count), every text of norm 1.

    Hashing: Weinberger et al. 2009 (arXiv:0902.2206), unsigned. The padding id marks both ends of a text, so that its
    beginning and its end are n-grams of their own.
    """

    def __init__(self, ngrams: Sequence[int], buckets: int) -> None:
        super().__init__()
        shortest, longest = ngrams
        if shortest > longest:
            raise UserError(
                f"model.frontend.ngrams is [shortest, longest]: write [{longest},{shortest}] for [{shortest},{longest}]"
            )
        if buckets & (buckets - 1):
            near = 1 << round(math.log2(buckets))
            raise UserError(f"model.frontend.buckets={buckets}: a power of two is expected, such as {near}")
        self.shortest, self.longest, self.bits = shortest, longest, buckets.bit_length() - 1

    def forward(self, given: Input) -> Input:
        """Ids int32 or int64 (B, T) to float32 (B, 1, 1, buckets)."""
        scaled = F.normalize(torch.log1p(self.counts(given)), dim=1)
        return given._replace(values=scaled[:, None, None], lengths=None)

    def counts(self, given: Input) -> Tensor:
        """float32 (B, buckets): how often each n-gram occurs."""
        assert given.lengths is not None
        ids, lengths = F.pad(given.values.long(), (1, 1)) + 1, given.lengths + 2
        found = torch.zeros(len(ids), 1 << self.bits, device=ids.device)
        key = torch.zeros_like(ids)
        for n in range(1, min(self.longest, ids.shape[1]) + 1):
            # (B, T - n + 1): a rolling polynomial hash, key_n(t) = key_(n-1)(t) * odd + id(t + n - 1), mod 2^64
            key = key[:, : ids.shape[1] - n + 1] * _ODD + ids[:, n - 1 :]
            if n >= self.shortest:
                within = valid(lengths - n + 1, key.shape[1])
                found.scatter_add_(1, _top_bits(key, self.bits), within.to(found.dtype))
        return found

    def fit(self, batches: Iterable[Input]) -> None:
        """Nothing is learned."""

    def facts(self) -> dict[str, Any]:
        """One row of numbers."""
        return {"in_channels": 1, "image_size": (1, 1 << self.bits)}


_ODD = 0x5851F42D4C957F2D  # Knuth's multiplier (MMIX): neighbouring keys fall far apart


def _top_bits(key: Tensor, bits: int) -> Tensor:
    """Multiplicative hashing (Knuth, TAOCP 6.4): int64 to 0 .. 2^bits - 1; the product wraps around."""
    mixed = key ^ ((key >> 32) & 0xFFFFFFFF)
    return ((mixed * _ODD) >> (64 - bits)) & ((1 << bits) - 1)


class Bands(nn.Module):
    """Mean and standard deviation over time of the log power of each mel band, standardised over the training clips."""

    STD_FLOOR = 1e-2  # nats, as in LogMel

    mean: Tensor
    std: Tensor

    def __init__(self, sample_rate: int, n_mels: int) -> None:
        super().__init__()
        self.mel = LogMel(sample_rate, n_mels, normalize="none")
        self.register_buffer("mean", torch.zeros(2, n_mels))
        self.register_buffer("std", torch.ones(2, n_mels))

    def forward(self, given: Input) -> Input:
        """Waveforms (B, T) to float32 (B, 1, 2, n_mels)."""
        scaled = (self.moments(given) - self.mean) / self.std
        return given._replace(values=scaled[:, None], lengths=None)

    def moments(self, given: Input) -> Tensor:
        """float32 (B, 2, n_mels): mean and deviation over the frames within each clip."""
        made: Input = self.mel(given)
        assert made.lengths is not None
        power = made.values[:, 0]
        within = valid(made.lengths, power.shape[-1])[:, None]
        count = made.lengths[:, None]
        # (B, n_mels), over the frames within each clip
        mean = (power * within).sum(2) / count
        spread = ((power - mean[..., None]) * within).square().sum(2) / count
        return torch.stack((mean, spread.sqrt()), dim=1)

    def fit(self, batches: Iterable[Input]) -> None:
        """Mean and deviation of each of the numbers over the training clips, in float64."""
        found = torch.cat([self.moments(given).double() for given in batches])
        self.mean.copy_(found.mean(0))
        self.std.copy_(found.std(0, correction=0).clamp(min=self.STD_FLOOR))

    def facts(self) -> dict[str, Any]:
        """Two rows of numbers."""
        return {"in_channels": 1, "image_size": tuple(self.mean.shape)}
