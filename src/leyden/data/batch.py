"""What travels from the loader to the net: a batch, and the random numbers that belong to its samples.

A batch is a pure function of (seed, epoch, position): so are the random parameters of its augmentation.
They come from `SampleRandom`, which hashes (seed, epoch, position, stream), and never from a generator's state;
hence they are the same for any number of workers and ranks, and after a resume.
"""

import functools
import math
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = TypeVar("Integers", Tensor, NDArray[np.int64])


class MixupTargets(NamedTuple):
    """The second half of a mixed batch (mixup): loss = weight * L(targets) + (1 - weight) * L(partner)."""

    partner: Tensor  # (B, ...): targets of the samples mixed in
    weight: Tensor  # float32 (B,): share of the first sample's label


class Input(NamedTuple):
    """One named input of a batch. B samples; T the longest of them, where their lengths differ.

    values: image uint8 (B, C, H, W); text int64 token ids (B, T), 0 is padding; audio int16 (B, T), 0 is padding. After
        the frontend: float32 images, log-mel (B, 1, bins, frames) or waveforms (B, 1, T).
    lengths: int64 (B,), valid entries along the last axis of `values`; None where all inputs have one shape.
    """

    values: Tensor
    lengths: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Input":
        """The same with each tensor mapped: moved, pinned, or indexed along the batch."""
        return Input(function(self.values), None if self.lengths is None else function(self.lengths))


class Batch(NamedTuple):
    """One batch of B samples.

    inputs: by name; data of one modality have one input, named after it, others one for each part of their source.
    targets: what the task is to predict, as its module takes it: int64 (B,) classes, float (B, L) labels or values.
    rows: int64 (B,), row of each sample in the source's table: names the sample.
    positions: int64 (B,), place of each sample in this epoch's global order: seeds its augmentation.
    present: bool (B,) by name, which samples have an input that some lack; what the others have there means nothing.
    """

    inputs: Mapping[str, Input]
    targets: Tensor
    rows: Tensor
    positions: Tensor
    epoch: int = 0
    mix: MixupTargets | None = None
    present: Mapping[str, Tensor] = {}

    @property
    def input(self) -> Input:
        """The one input of a batch that has one.

        Raises:
            ValueError: there are several.
        """
        (found,) = self.inputs.values()
        return found

    def map_inputs(self, function: Callable[[Input], Input]) -> "Batch":
        """The same batch with each input mapped."""
        return self._replace(inputs={name: function(x) for name, x in self.inputs.items()})

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """The same batch with every tensor on `device`."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=non_blocking)

        moved = self.map_inputs(lambda x: x.map(move))
        return moved._replace(
            targets=move(self.targets),
            rows=move(self.rows),
            positions=move(self.positions),
            present={name: move(x) for name, x in self.present.items()},
        )


def _signed(value: int) -> int:
    """The 64-bit pattern of `value` as a signed integer, which is what torch computes with."""
    return (value & (2**64 - 1)) - (2**64 if value & 2**63 else 0)


# splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014)
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX1 = _signed(0xBF58476D1CE4E5B9)
_MIX2 = _signed(0x94D049BB133111EB)


def _scramble(x: Integers) -> Integers:
    """splitmix64's finaliser on int64; a right shift is made logical by masking the sign's copies."""
    x = x + _GOLDEN
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _MIX1
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _MIX2
    return x ^ ((x >> 31) & (2**33 - 1))


@functools.lru_cache(64)
def _columns(stream: str, k: int, device: torch.device) -> Tensor:
    """int64 (1, k): the key of each column of a stream; kept, since making it takes a quarter of a batch's draws."""
    return _scramble(torch.arange(k, device=device) + (zlib.crc32(stream.encode()) << 20))[None, :]


class SampleRandom:
    """Random numbers of the samples of one batch, a pure function of (seed, epoch, position, stream).

    Each transform uses streams named after itself, so that adding one changes no other's numbers.
    """

    def __init__(self, seed: int, epoch: int, positions: Tensor) -> None:
        # of the host, and passed as a number: copying it to a GPU would wait for the device at every step
        base = _scramble(np.array([seed, epoch], dtype=np.int64))
        (key,) = _scramble(base[:1] ^ (base[1:] * _GOLDEN)).tolist()
        self._state = _scramble(positions + key)

    def uniform(self, stream: str, k: int = 1) -> Tensor:
        """float32 (B, k) in [0, 1)."""
        bits = _scramble(self._state[:, None] ^ _columns(stream, k, self._state.device))
        return ((bits >> 40) & (2**24 - 1)).to(torch.float32) / 2**24

    def integers(self, stream: str, high: int, k: int = 1) -> Tensor:
        """int64 (B, k) in 0 .. high - 1."""
        return (self.uniform(stream, k) * high).long().clamp_(max=high - 1)

    def normal(self, stream: str, k: int = 1) -> Tensor:
        """float32 (B, k), standard normal (Box and Muller 1958)."""
        u, v = self.uniform(stream, 2 * k).chunk(2, dim=1)
        return torch.sqrt(-2 * torch.log1p(-u)) * torch.cos(2 * math.pi * v)
