"""Samples in a grid, each under its caption: images, waveforms, spectrograms."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.reporting.canvas import BLUE, blank, short

_MOST_COLUMNS = 8
_ENVELOPE = 600  # pairs of points of a drawn waveform: about twice the pixels of its width


def image_grid(images: ArrayLike, captions: Sequence[str], title: str = "") -> Figure:
    """Images uint8 (N, C, H, W), pixels unsmoothed. One channel is grey; of many, the first three."""
    pictures = np.asarray(images)
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(pictures)))))
    figure, places = _grid(captions, columns, (1.75, 1.5), title)
    for axes, picture in zip(places, pictures, strict=True):
        shown = picture[0] if len(picture) < 3 else np.moveaxis(picture[:3], 0, -1)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
    return figure


def waveform_grid(
    waves: Sequence[NDArray[Any]], sample_rate: int, captions: Sequence[str], title: str = ""
) -> Figure:
    """Waveforms, each (n,), int16 or float in -1 .. 1, over seconds; all on the same two scales."""
    scaled = [w / 32768 if w.dtype.kind == "i" else np.asarray(w, dtype=np.float64) for w in waves]
    loudest = max((float(np.abs(w).max(initial=0.0)) for w in scaled), default=0.0) or 1.0
    longest = max((len(w) for w in scaled), default=0) / sample_rate
    figure, places = _grid(captions, min(3, max(1, len(waves))), (3.2, 1.3), title)
    for axes, wave in zip(places, scaled, strict=True):
        low, high = _envelope(wave)
        seconds = np.linspace(0, len(wave) / sample_rate, len(low))
        axes.fill_between(seconds, low, high, color=BLUE, lw=0.6)
        axes.set(xlim=(0, longest or 1.0), ylim=(-1.05 * loudest, 1.05 * loudest))
        axes.tick_params(labelsize=8)
    figure.supxlabel("seconds", fontsize=9)
    return figure


def spectrogram_grid(
    spectrograms: Sequence[NDArray[Any]], captions: Sequence[str], title: str = ""
) -> Figure:
    """Spectrograms, each (bins, frames), low frequencies below; all on one scale of colour."""
    finite = [s[np.isfinite(s)] for s in spectrograms]
    low = min((float(s.min()) for s in finite if s.size), default=0.0)
    high = max((float(s.max()) for s in finite if s.size), default=1.0)
    figure, places = _grid(captions, min(3, max(1, len(spectrograms))), (3.2, 1.9), title)
    drawn = list(zip(places, spectrograms, strict=True))
    for axes, spectrogram in drawn:
        image = axes.imshow(
            spectrogram,
            cmap="viridis",
            origin="lower",
            aspect="auto",
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        axes.tick_params(labelsize=8)
    if drawn:
        figure.colorbar(image, ax=[axes for axes, _ in drawn], shrink=0.7).ax.tick_params(labelsize=8)
    figure.supxlabel("frame", fontsize=9)
    figure.supylabel("bin", fontsize=9)
    return figure


def _grid(
    captions: Sequence[str], columns: int, cell: tuple[float, float], title: str
) -> tuple[Figure, Iterator[Axes]]:
    """A figure with a place for each caption; cell: inches (width, height) without the caption."""
    rows = max(1, math.ceil(len(captions) / columns))
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    width, height = cell
    figure = blank(width * columns + 0.4, (height + 0.17 * lines + 0.1) * rows + 0.5)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    letters = int(width * 12)  # of 8 points, in that width
    for axes, caption in zip(places, captions, strict=False):
        axes.set_title("\n".join(short(line, letters) for line in caption.split("\n")), fontsize=8)
    for axes in places[len(captions) :]:
        axes.set_axis_off()
    if title:
        figure.suptitle(short(title, max(30, int(12 * columns * width * 0.6))), fontsize=11)
    return figure, iter(places[: len(captions)])


def _envelope(wave: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(lowest, highest) of each of at most 600 stretches: draws a minute as fast as a second."""
    if len(wave) < 2:
        padded = np.zeros(2)
        return padded, padded
    starts = np.unique(np.linspace(0, len(wave) - 2, min(_ENVELOPE, len(wave) - 1)).astype(np.int64))
    # each stretch reaches one sample into the next, so that the drawn band has no gaps
    low, high = np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts)
    following = np.append(starts[1:], len(wave) - 1)
    return np.minimum(low, wave[following]), np.maximum(high, wave[following])
