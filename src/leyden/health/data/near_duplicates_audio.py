"""Near duplicates among recordings: the same one louder, noisier, cut or moved by some hundredths of a second.

Candidates by the magnitude spectrum of the whole recording, which a shift leaves alone; then the waveforms laid
upon one another at the best shift. Of all pairs of FSDD two recordings of one word by one voice correlate by .971 at
most; copies do by .99. Both are done at 4 kHz, on the first SECONDS.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leyden.health.data.nearest_neighbors import Pairs, candidates, unit

RATE = 4000  # Hz
SECONDS = 4.0
CORRELATION = 0.98  # of copies, at least
SHIFT = 0.1  # seconds, at most
OVERLAP = 0.75  # of the longer one, at least
_DEPTH = 256  # of the descriptor, a random projection of the spectrum
_SPECTRUM = 1 << 14  # points: at least SECONDS
_PARTS = torch.arange(-3, 4) / 8  # of a sample: shifts tried about the best half one
_TAPS = 12  # samples of the reduced rate, each way, that the low pass weighs
_BLOCK = 64
_FULL = 127  # of int8


class Waves:
    """Recordings at 4 kHz, each scaled to its own peak: values int8 (total,), offsets int64 (n + 1,)."""

    def __init__(self, values: Tensor, lengths: Tensor) -> None:
        """See the class; lengths int64 (n,)."""
        self.values, self.lengths = values, lengths
        self.begins = lengths.cumsum(0) - lengths

    def __len__(self) -> int:
        """How many recordings."""
        return len(self.lengths)

    def padded(self, rows: Tensor, width: int) -> Tensor:
        """float (*rows.shape, width), cut or filled with zeros."""
        steps = torch.arange(width)
        places = (self.begins[rows][..., None] + steps).clamp_max(max(len(self.values) - 1, 0))
        inside = steps < self.lengths[rows][..., None]
        return self.values[places].float() * inside

    @classmethod
    def joined(cls, parts: Sequence["Waves"]) -> "Waves":
        """One after the other."""
        return cls(torch.cat([p.values for p in parts]), torch.cat([p.lengths for p in parts]))


def reduced(clips: Sequence[np.ndarray], rate: int) -> Waves:
    """Recordings, each int16 (n_i,) at `rate` Hz, at about 4 kHz, their treble raised (first difference)."""
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
    """A windowed sinc, for what is below .35 of the reduced rate: the rest would come back as false tones."""
    if step == 1:
        return torch.ones(1)
    reach = _TAPS * step
    places = torch.arange(-reach, reach + 1)
    weights = torch.sinc(places * (0.7 / step)) * torch.hann_window(2 * reach + 3, periodic=False)[1:-1]
    return weights / weights.sum()


def near(waves: Waves, queries: Tensor, keys: Tensor) -> Pairs:
    """Each query's nearest key, where it is a near duplicate; arguments as for `near_images.near`."""
    if not len(queries) or len(keys) < 2:
        return Pairs.none()
    described = _descriptors(waves)
    own = torch.full((len(waves),), -1)
    own[keys] = torch.arange(len(keys))
    found = candidates(described[queries], described[keys], apart=own[queries])
    correlation = _correlations(waves, queries, keys[found])
    best = correlation.argmax(1, keepdim=True)
    alike = correlation.gather(1, best)[:, 0]
    kept = (alike > CORRELATION).nonzero()[:, 0]
    return Pairs(kept.numpy(), found.gather(1, best)[kept, 0].numpy(), 1 - alike[kept].double().numpy())


def _descriptors(waves: Waves) -> Tensor:
    """(n, d) of the spectra's square roots, less their mean, projected."""
    bins = _SPECTRUM // 2 + 1
    projection = torch.randn(bins, _DEPTH, generator=torch.Generator().manual_seed(0))
    parts = []
    for rows in torch.arange(len(waves)).split(_BLOCK * 4):
        spectrum = torch.fft.rfft(waves.padded(rows, int(SECONDS * RATE)), n=_SPECTRUM).abs().sqrt()
        parts.append(unit((spectrum - spectrum.mean(1, keepdim=True)) @ projection))
    described = torch.cat(parts)
    return unit(described - described.mean(0))


def _correlations(waves: Waves, queries: Tensor, found: Tensor) -> Tensor:
    """(n, k) correlation of each query with its candidates at the best shift, over the time that both have."""
    result = torch.zeros(found.shape)
    for some in waves.lengths[queries].argsort().split(_BLOCK):  # of about equal lengths: little padding
        longest = int(waves.lengths[queries[some]].max())
        width = longest + int(2 * SHIFT * RATE)
        query = waves.padded(queries[some], width)[:, None]
        key = waves.padded(found[some], width)
        ours, theirs = waves.lengths[queries[some]][:, None], waves.lengths[found[some]].clamp_max(width)
        result[some] = _best(query, key, ours.expand_as(theirs), theirs)
    return result


def _best(query: Tensor, key: Tensor, ours: Tensor, theirs: Tensor) -> Tensor:
    """(n, k) of query (n, 1, w) and key (n, k, w) with their lengths (n, k)."""
    width = query.shape[2]
    points = 1 << (width + int(SHIFT * RATE)).bit_length()
    cross = torch.fft.rfft(key, n=points) * torch.fft.rfft(query, n=points).conj()
    most = int(SHIFT * RATE)
    shifts = torch.arange(-most, most + 1)
    halves = torch.arange(-2 * most, 2 * most + 1)  # half samples: between whole ones a tone's peak may hide
    sums = (
        2 * torch.fft.irfft(cross, n=2 * points)[..., halves % (2 * points)]
    )  # of query[t] * key[t + shift]
    energy = _overlap(query, key, ours, theirs, shifts)
    place = (sums.abs() / energy[..., (halves + 2 * most) // 2]).argmax(2, keepdim=True)
    turns = torch.arange(cross.shape[2]) * (2 * torch.pi / points)
    turned = cross * torch.exp(1j * turns * (halves[place] / 2))
    weights = torch.full((cross.shape[2],), 2.0 / points)
    weights[0] = weights[-1] = 1.0 / points
    fine = (turned @ (weights * torch.exp(1j * turns * _PARTS[:, None])).T).real.abs().amax(2)
    return fine / energy.gather(2, place // 2)[..., 0]


def _overlap(query: Tensor, key: Tensor, ours: Tensor, theirs: Tensor, shifts: Tensor) -> Tensor:
    """(n, k, s) root of the product of both energies over the time that both have; infinite if that is short."""
    begin = (-shifts).clamp_min(0)
    end = torch.minimum(ours[..., None], theirs[..., None] - shifts)
    long_enough = end - begin >= OVERLAP * torch.maximum(ours, theirs)[..., None]
    own, other = (F.pad((x**2).cumsum(2), (1, 0)) for x in (query, key))
    end = end.clamp_min(0)
    own = own.expand(*end.shape[:2], -1)
    first = own.gather(2, end) - own.gather(2, begin.expand_as(end))
    second = other.gather(2, (end + shifts).clamp(0, key.shape[2])) - other.gather(
        2, (begin + shifts).expand_as(end)
    )
    energy = (first.clamp_min(0) * second.clamp_min(0)).sqrt()
    return torch.where(long_enough & (energy > 0), energy, torch.inf)
