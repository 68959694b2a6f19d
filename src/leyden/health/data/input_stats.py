"""Statistics and descriptors of every input of the splits, in one pass."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from leyden.data.datamodule import DataModule
from leyden.data.table import Ragged
from leyden.health.data import near_duplicates_audio, near_duplicates_image
from leyden.health.data.duplicates import raw_inputs
from leyden.health.data.near_duplicates_audio import Waves
from leyden.utils.parallel import parallel_map

FULL_SCALE = 32_700  # of int16: a sample beyond is clipped
SILENT = 16  # of int16, -66 dB: peak of a silent recording, at most
_CHUNK = 512
_GRID = 4  # by 4 cells of an image, whose mean colours are features
_BANDS = 16  # of a recording's spectrum below 2 kHz
_TOKENS = 63  # the most frequent ones, whose shares are features of a text


@dataclass(frozen=True)
class InputStats:
    """Statistics of n rows of the table.

    Args:
        rows: int64 (n,).
        levels: float32 (n, k): of images each channel's mean and standard deviation (0 to 255), of recordings the
            level in dB of full scale; empty for texts.
        features: float32 (n, d), coarse features for the two-sample test between splits.
        constant: bool (n,), an image of one colour, a silent recording, a text without a known token.
        clipped: float32 (n,), share of samples at full scale; zeros except for audio.
        grey: whether every image has three equal channels.
        thumbs: for near duplicates: uint8 (n, h, w) of images, `Waves` of recordings, None of texts.
    """

    rows: np.ndarray
    levels: np.ndarray
    features: np.ndarray
    constant: np.ndarray
    clipped: np.ndarray
    grey: bool
    thumbs: torch.Tensor | Waves | None

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Indices (m,) of rows (m,) of the table in these statistics."""
        order = np.argsort(self.rows)
        return order[np.searchsorted(self.rows, rows, sorter=order)]


def input_stats(data: DataModule) -> InputStats:
    """Statistics of every input of train, val and test, in this order."""
    rows = np.concatenate(data.splits)
    if data.source.modality == "text":
        return _texts(data, rows)
    compute: Callable[[DataModule, np.ndarray], dict[str, Any]] = (
        _images if data.source.modality == "image" else _clips
    )
    starts = range(0, len(rows), _CHUNK)
    label = f"checking {data.source.modality}"
    parts = list(parallel_map(lambda start: compute(data, rows[start : start + _CHUNK]), starts, label, 1))
    arrays = {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
        if name not in ("thumbs", "grey")
    }
    thumbs = [part["thumbs"] for part in parts]
    joined = torch.cat(thumbs) if isinstance(thumbs[0], torch.Tensor) else Waves.joined(thumbs)
    return InputStats(rows=rows, grey=all(part["grey"] for part in parts), thumbs=joined, **arrays)


def _images(data: DataModule, rows: np.ndarray) -> dict[str, Any]:
    images = data.table.inputs.gather(rows).values
    pixels = images.float()
    mean, std = pixels.mean((2, 3)), pixels.std((2, 3), correction=0)
    places = F.adaptive_avg_pool2d(pixels, _GRID).flatten(1)
    return {
        "levels": torch.cat([mean, std], 1).numpy(),
        "features": torch.cat([places, std], 1).numpy(),
        "constant": (images.amax((1, 2, 3)) == images.amin((1, 2, 3))).numpy(),
        "clipped": np.zeros(len(rows), np.float32),
        "grey": images.shape[1] == 3 and bool((images[:, :1] == images).all()),
        "thumbs": near_duplicates_image.thumbnails(images),
    }


def _clips(data: DataModule, rows: np.ndarray) -> dict[str, Any]:
    clips = list(raw_inputs(data.table.inputs, rows))
    loud = [np.abs(clip.astype(np.int32)) for clip in clips]
    power = np.array([np.mean(np.square(clip, dtype=np.float64)) if len(clip) else 0.0 for clip in clips])
    level = 10 * np.log10(np.maximum(power, 1e-1) / 32768**2)
    waves = near_duplicates_audio.reduced(clips, data.spec.sample_rate)
    width = min(int(waves.lengths.max()), near_duplicates_audio.RATE * 2)
    spectrum = (
        torch.fft.rfft(waves.padded(torch.arange(len(waves)), max(width, 4 * _BANDS)), dim=1).abs() ** 2
    )
    bands = (F.adaptive_avg_pool1d(spectrum[:, None], _BANDS)[:, 0] + 1).log().numpy()
    lengths = np.log(np.array([len(clip) + 1 for clip in clips]))
    return {
        "levels": level[:, None].astype(np.float32),
        "features": np.column_stack([bands - bands.mean(1, keepdims=True), level, lengths]).astype(
            np.float32
        ),
        "constant": np.array(
            [x.max(initial=0) <= SILENT or np.ptp(c) == 0 for x, c in zip(loud, clips, strict=True)]
        ),
        "clipped": np.array([np.mean(x >= FULL_SCALE) if len(x) else 0 for x in loud], dtype=np.float32),
        "grey": False,
        "thumbs": waves,
    }


def _texts(data: DataModule, rows: np.ndarray) -> InputStats:
    ids = data.inputs
    assert isinstance(ids, Ragged)
    of = np.repeat(np.arange(len(ids)), ids.lengths)
    values = np.asarray(ids.values)
    frequent = np.argsort(-np.bincount(values), kind="stable")[:_TOKENS]
    place = np.full(int(values.max(initial=0)) + 1, -1)
    place[frequent] = np.arange(len(frequent))
    known = place[values] >= 0
    counts = np.bincount(of[known] * _TOKENS + place[values[known]], minlength=len(ids) * _TOKENS)
    shares = counts.reshape(len(ids), _TOKENS) / np.maximum(ids.lengths, 1)[:, None]
    unknown = np.bincount(of, weights=values == 1, minlength=len(ids))
    features = np.column_stack([shares, np.log(ids.lengths + 1)]).astype(np.float32)
    return InputStats(
        rows=rows,
        levels=np.zeros((len(rows), 0), np.float32),
        features=features[rows],
        constant=(unknown == ids.lengths)[rows],
        clipped=np.zeros(len(rows), np.float32),
        grey=False,
        thumbs=None,
    )
