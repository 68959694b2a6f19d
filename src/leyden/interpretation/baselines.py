"""What stands for "absent": made of the training rows, and named. Never black by itself, never digital silence.

Sundararajan et al. 2017 (arXiv:1703.01365) for baselines; that the choice decides the map: Sturmfels et al. 2020
(distill.pub/2020/attribution-baselines).
"""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.data.tokenizers import UNKNOWN_ID
from leyden.data.transforms.audio import lengths_of
from leyden.data.transforms.text import TokenDropout
from leyden.inference.load import LoadedRun
from leyden.inference.predictor import outputs_of, prepared
from leyden.interpretation.sights import Cells, Embedded, Inputs, Tokens, Waveform, masked_tokens, with_values
from leyden.utils.arrays import evenly
from leyden.utils.errors import UserError, nearest

ROWS = 256  # training rows that means, spectra and ranges are taken from, evenly spaced
REFERENCES = 16  # of them, that GradientSHAP starts from
_CHUNK = 32
_BLUR = 0.1  # of the shorter side: the width of the blur, three times over
_FFT = 512  # of a spectrum
_QUIET = 1e-10  # power: as the log-mel frontend's floor

Named = tuple[Tensor, str]


class TrainingRows:
    """What is known of a run's training rows.

    Args:
        run: loaded.
        data: its data.
        see: a batch as what is explained.
        kept_axis: of values (B, ...) along which means differ: channels, or the bands of a spectrogram.
    """

    def __init__(
        self, run: LoadedRun, data: DataModule, see: Callable[[Batch], Inputs], kept_axis: int = 1
    ) -> None:
        self._run, self._data, self._see, self._axis = run, data, see, kept_axis
        self._rows = evenly(data.splits.train, ROWS)

    def _batches(self) -> Iterator[Batch]:
        for start in range(0, len(self._rows), _CHUNK):
            yield self._data.batch_of(self._rows[start : start + _CHUNK])

    @cached_property
    def spans(self) -> Tensor:
        """float64 (K,): from the lowest to the highest of each output."""
        with torch.no_grad():
            found = torch.cat([outputs_of(self._run, prepared(self._run, b)) for b in self._batches()])
        return found.amax(0) - found.amin(0)

    @cached_property
    def mean(self) -> Tensor:
        """Mean of values over rows, places and all axes but `kept_axis`; broadcastable to values."""
        total, count = torch.zeros(1), torch.zeros(1)
        for batch in self._batches():
            seen = self._see(batch)
            there = seen.from_units(seen.places).expand_as(seen.values)
            axes = [axis for axis in range(seen.values.ndim) if axis != self._axis]
            total = total + torch.where(there, seen.values, 0).double().sum(axes, keepdim=True)
            count = count + there.sum(axes, keepdim=True)
        return (total / count.clamp(min=1)).float()

    @property
    def mean_words(self) -> str:
        """What the mean is of."""
        return "the data's mean" if self._axis == 1 else "each band's mean"

    @cached_property
    def spectrum(self) -> Tensor:
        """float32 (257,): exp of the mean log power of frames of the recordings."""
        total, count = torch.zeros(_FFT // 2 + 1), 0
        for batch in self._batches():
            given = self._see(batch).batch.input
            for wave, length in zip(given.values, lengths_of(given).tolist(), strict=True):
                frames = F.pad(wave[:length], (0, max(0, _FFT - length))).unfold(0, _FFT, _FFT // 2)
                power = torch.fft.rfft(frames * torch.hann_window(_FFT)).abs().square().clamp(min=_QUIET)
                total, count = total + power.log().sum(0), count + len(frames)
        return (total / count).exp()

    @cached_property
    def unknown_words(self) -> str:
        """The unknown token, and whether training has met it: its embedding is random else, yet like the others."""
        drops = any(isinstance(module, TokenDropout) for module in self._run.module.modules())
        if drops or any(bool((batch.input.values == UNKNOWN_ID).any()) for batch in self._batches()):
            return "unknown token"
        return "unknown token (not met in training)"

    def references(self, seen: Inputs) -> Tensor:
        """(R, ...) values of training rows, as long as those of `seen`: cut, or repeated from the beginning."""
        axis = 1 if isinstance(seen, Embedded) else -1
        length = seen.values.shape[axis]
        found = []
        for row in evenly(self._rows, REFERENCES):
            one = seen.of(self._data.batch_of(np.array([row]))).values
            repeats = -(-length // max(1, one.shape[axis]))
            found.append(torch.cat([one] * repeats, dim=axis).narrow(axis, 0, length))
        return torch.cat(found)


def baseline(name: str, seen: Inputs, raw: Batch, rows: TrainingRows, seed: int) -> Named:
    """What is absent in each sample, like its values, and its name in words.

    Args:
        name: one of `names(seen)`; "": the first.
        seen: the samples.
        raw: their batch as the loader gives it.
        rows: of the training split.
        seed: of noise.

    Raises:
        UserError: there is no such baseline for these inputs.
    """
    makers = _makers(seen, raw, rows, seed)
    if name and name not in makers:
        raise UserError(f"--baseline {name}: there is none for this run's input; {nearest(name, makers)}")
    values, words = makers[name or next(iter(makers))]()
    there = seen.from_units(seen.places)
    return torch.where(there, values.expand_as(seen.values), seen.values), words


def fill(seen: Inputs, raw: Batch, rows: TrainingRows, seed: int) -> Named:
    """What stands in a unit that is taken away: of pictures the blurred one, else the baseline."""
    return baseline("blur" if "blur" in _makers(seen, raw, rows, seed) else "", seen, raw, rows, seed)


def _makers(seen: Inputs, raw: Batch, rows: TrainingRows, seed: int) -> dict[str, Callable[[], Named]]:
    """Name -> what makes it; the default first."""
    if isinstance(seen, Embedded | Tokens):
        by_token = {
            "unknown": lambda: (seen.of(masked_tokens(raw, UNKNOWN_ID)).values, rows.unknown_words),
            "padding": lambda: (seen.of(masked_tokens(raw, 0)).values, "padding token"),
        }
        if isinstance(seen, Embedded):  # measured: docs/explain.md, scripts/explain_planted
            return {"mean": lambda: (rows.mean, "mean embedding of the data's tokens"), **by_token}
        return by_token
    if isinstance(seen, Cells):
        return {"empty": lambda: (seen.emptied, "empty cells")}
    if isinstance(seen, Waveform):
        return {
            "noise": lambda: (_noise(seen.values, rows.spectrum, seed), "noise of the data's mean spectrum")
        }
    found: dict[str, Callable[[], Named]] = {"mean": lambda: (rows.mean, rows.mean_words)}
    if raw.input.lengths is None and raw.input.values.ndim == 4:
        found["blur"] = lambda: (blurred(seen.values), "blurred picture")
        found["black"] = lambda: (
            seen.of(with_values(raw, torch.zeros_like(raw.input.values))).values,
            "black",
        )
    return found


def blurred(pictures: Tensor) -> Tensor:
    """Pictures (B, C, H, W) averaged three times over a square: nearly a Gaussian."""
    size = 2 * max(1, round(_BLUR * min(pictures.shape[-2:]))) + 1
    for _ in range(3):
        pictures = F.avg_pool2d(pictures, size, 1, size // 2, count_include_pad=False)
    return pictures


def _noise(waves: Tensor, spectrum: Tensor, seed: int) -> Tensor:
    """Gaussian noise (B, n) whose power in frames of 512 is `spectrum` (257,)."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.fft.rfft(torch.randn(waves.shape, generator=generator))
    # a frame's power is that of one sample times the window's, 3/8 of its length for Hann's
    gains = (spectrum / (0.375 * _FFT)).sqrt()[None, None]
    shaped = white * F.interpolate(gains, white.shape[1], mode="linear", align_corners=True)[0]
    return torch.fft.irfft(shaped, waves.shape[1])
