"""Near duplicates among recordings: the same one at another level, with noise, cut or shifted by some 10 ms.

Candidates are found by the magnitude spectrum of the whole recording, which is invariant to shifts, and verified by
the correlation of the waveforms at the best shift. In FSDD, different recordings of one word by one speaker correlate
by .971 at most, duplicates by .99. Both steps work at 4 kHz, on the first SECONDS.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leyden.health.data.nearest_neighbors import Pairs, candidates, unit

RATE = 4000  # Hz
SECONDS = 4.0
CORRELATION = 0.98  # of near duplicates, at least
SHIFT = 0.1  # seconds, at most
OVERLAP = 0.75  # of the longer recording, at least
_DEPTH = 256  # of the descriptor, a random projection of the spectrum
_SPECTRUM = 1 << 14  # points: at least SECONDS
_FRACTIONS = torch.arange(-3, 4) / 8  # of a sample: shifts tried around the best half-sample shift
_TAPS = 12  # samples of the reduced rate on each side of the low-pass filter
_BLOCK = 64
_FULL = 127  # of int8


class Waves:
    """Recordings at 4 kHz, each scaled to its own peak and stored one after the other."""

    def __init__(self, values: Tensor, lengths: Tensor) -> None:
        """values int8 (sum of lengths,); lengths int64 (n,)."""
        self.values, self.lengths = values, lengths
        self.begins = lengths.cumsum(0) - lengths

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.lengths)

    def padded(self, rows: Tensor, width: int) -> Tensor:
        """Recordings `rows` as float (*rows.shape, width), truncated or padded with zeros."""
        steps = torch.arange(width)
        places = (self.begins[rows][..., None] + steps).clamp_max(max(len(self.values) - 1, 0))
        inside = steps < self.lengths[rows][..., None]
        return self.values[places].float() * inside

    @classmethod
    def joined(cls, parts: Sequence["Waves"]) -> "Waves":
        """Concatenate several sets of recordings."""
        return cls(torch.cat([p.values for p in parts]), torch.cat([p.lengths for p in parts]))


def reduced(clips: Sequence[np.ndarray], rate: int) -> Waves:
    """Resample recordings, each int16 (n_i,) at `rate` Hz, to about 4 kHz and emphasise treble (first difference)."""
    step = max(1, rate // RATE)
    most = int(SECONDS * rate)
    weights = _low_pass(step)
    lengths = torch.tensor([-(-min(len(clip), most) // step) for clip in clips])
    width = int(lengths.max()) * step
    padded = torch.zeros(len(clips), width)
    for row, clip in enumerate(clips):
        padded[row, : min(len(clip), most)] = torch.from_numpy(clip[:most].astype(np.float32))
    slow = F.conv1d(padded[:, None], weights[None, None], stride=step, padding=len(weights) // 2)
    fast = torch.diff(slow[:, 0], dim=1, prepend=slow[:, 0, :1])[:, : int(lengths.max())]
    inside = torch.arange(fast.shape[1]) < lengths[:, None]
    scaled = fast * inside * (_FULL / (fast * inside).abs().amax(1, keepdim=True).clamp_min(1e-3))
    return Waves(scaled.round().to(torch.int8)[inside], lengths)


def _low_pass(step: int) -> Tensor:
    """Windowed-sinc low-pass filter at .35 of the reduced rate, against aliasing."""
    if step == 1:
        return torch.ones(1)
    reach = _TAPS * step
    places = torch.arange(-reach, reach + 1)
    weights = torch.sinc(places * (0.7 / step)) * torch.hann_window(2 * reach + 3, periodic=False)[1:-1]
    return weights / weights.sum()


def near(waves: Waves, queries: Tensor, keys: Tensor) -> Pairs:
    """The most similar key of each query, where it is a near duplicate.

    Args:
        waves: N recordings.
        queries: int64 (n,), indices in `waves`.
        keys: int64 (m,), likewise; a query that is also a key is not compared with itself.
    """
    if not len(queries) or len(keys) < 2:
        return Pairs.none()
    described = _descriptors(waves)
    own = torch.full((len(waves),), -1)
    own[keys] = torch.arange(len(keys))
    found = candidates(described[queries], described[keys], apart=own[queries])
    correlation = _correlations(waves, queries, keys[found])
    best = correlation.argmax(1, keepdim=True)
    similarity = correlation.gather(1, best)[:, 0]
    is_duplicate = (similarity > CORRELATION).nonzero()[:, 0]
    return Pairs(
        is_duplicate.numpy(),
        found.gather(1, best)[is_duplicate, 0].numpy(),
        1 - similarity[is_duplicate].double().numpy(),
    )


def _descriptors(waves: Waves) -> Tensor:
    """Descriptors (n, d): centred square roots of the magnitude spectra, randomly projected, of length one."""
    bins = _SPECTRUM // 2 + 1
    projection = torch.randn(bins, _DEPTH, generator=torch.Generator().manual_seed(0))
    parts = []
    for rows in torch.arange(len(waves)).split(_BLOCK * 4):
        spectrum = torch.fft.rfft(waves.padded(rows, int(SECONDS * RATE)), n=_SPECTRUM).abs().sqrt()
        parts.append(unit((spectrum - spectrum.mean(1, keepdim=True)) @ projection))
    described = torch.cat(parts)
    return unit(described - described.mean(0))


def _correlations(waves: Waves, queries: Tensor, found: Tensor) -> Tensor:
    """Correlation (n, k) of each query with its candidates at the best shift, over their overlap."""
    result = torch.zeros(found.shape)
    for block in waves.lengths[queries].argsort().split(_BLOCK):  # sorted by length: little padding
        longest = int(waves.lengths[queries[block]].max())
        width = longest + int(2 * SHIFT * RATE)
        query = waves.padded(queries[block], width)[:, None]
        key = waves.padded(found[block], width)
        query_lengths = waves.lengths[queries[block]][:, None]
        key_lengths = waves.lengths[found[block]].clamp_max(width)
        result[block] = _best_correlation(query, key, query_lengths.expand_as(key_lengths), key_lengths)
    return result


def _best_correlation(query: Tensor, key: Tensor, query_lengths: Tensor, key_lengths: Tensor) -> Tensor:
    """Best correlation (n, k) of query (n, 1, w) and key (n, k, w) with their lengths (n, k)."""
    width = query.shape[2]
    points = 1 << (width + int(SHIFT * RATE)).bit_length()
    cross = torch.fft.rfft(key, n=points) * torch.fft.rfft(query, n=points).conj()
    most = int(SHIFT * RATE)
    shifts = torch.arange(-most, most + 1)
    halves = torch.arange(-2 * most, 2 * most + 1)  # half samples: a peak can lie between two samples
    sums = (
        2 * torch.fft.irfft(cross, n=2 * points)[..., halves % (2 * points)]
    )  # of query[t] * key[t + shift]
    energy = _overlap(query, key, query_lengths, key_lengths, shifts)
    place = (sums.abs() / energy[..., (halves + 2 * most) // 2]).argmax(2, keepdim=True)
    phases = torch.arange(cross.shape[2]) * (2 * torch.pi / points)
    shifted = cross * torch.exp(1j * phases * (halves[place] / 2))
    weights = torch.full((cross.shape[2],), 2.0 / points)
    weights[0] = weights[-1] = 1.0 / points
    fine = (shifted @ (weights * torch.exp(1j * phases * _FRACTIONS[:, None])).T).real.abs().amax(2)
    return fine / energy.gather(2, place // 2)[..., 0]


def _overlap(
    query: Tensor, key: Tensor, query_lengths: Tensor, key_lengths: Tensor, shifts: Tensor
) -> Tensor:
    """Root (n, k, s) of the product of both energies over the overlap at each shift; infinite if it is too short."""
    begin = (-shifts).clamp_min(0)
    end = torch.minimum(query_lengths[..., None], key_lengths[..., None] - shifts)
    long_enough = end - begin >= OVERLAP * torch.maximum(query_lengths, key_lengths)[..., None]
    own, other = (F.pad((x**2).cumsum(2), (1, 0)) for x in (query, key))
    end = end.clamp_min(0)
    own = own.expand(*end.shape[:2], -1)
    first = own.gather(2, end) - own.gather(2, begin.expand_as(end))
    second = other.gather(2, (end + shifts).clamp(0, key.shape[2])) - other.gather(
        2, (begin + shifts).expand_as(end)
    )
    energy = (first.clamp_min(0) * second.clamp_min(0)).sqrt()
    return torch.where(long_enough & (energy > 0), energy, torch.inf)
