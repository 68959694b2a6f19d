"""Grids of samples with captions: images, waveforms and spectrograms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.reporting.plots.fast_figure import Margins, Sheet
from leyden.reporting.plots.lettering import lines_of
from leyden.reporting.plots.style import BLUE, CARD, GREY, SMALL, WHITE, short

_MOST_COLUMNS = 8
_IN_A_ROW = 4  # images of a card
_IN_A_CARD = 6  # waveforms
_ENVELOPE = 600  # (min, max) pairs per waveform: about twice its width in pixels
_NATS = 80 * math.log(10) / 10  # 80 dB of power
_GAP = 0.1  # inches between neighbours
_MARGINS = Margins(0.15, 0.1)


def samples_figure(
    inputs: Sequence[NDArray[Any]], captions: Sequence[str], title: str, sample_rate: int = 0
) -> Figure:
    """Plot a grid of images, each (C, H, W), or of waveforms, each (n,) at `sample_rate` Hz."""
    if inputs and inputs[0].ndim == 3:
        return image_grid(inputs, captions, title)
    return waveform_grid(inputs, sample_rate, captions, title)


def image_grid(
    images: ArrayLike | Sequence[NDArray[Any]], captions: Sequence[str], title: str = ""
) -> Figure:
    """Plot images uint8 (N, C, H, W) without interpolation; one channel as grey, of more the first three as RGB.

    Up to 16 are as wide together as a card of TensorBoard.
    """
    pictures = [np.asarray(image) for image in images]  # type: ignore[union-attr]
    columns = min(_MOST_COLUMNS, max(3, math.ceil(math.sqrt(len(pictures)))))
    side = _width(columns)
    sheet, grid = _grid(captions, columns, (side, side) if columns <= _IN_A_ROW else (1.3, 1.1), title)
    for place, picture in enumerate(pictures):
        shown = np.moveaxis(np.repeat(picture[:1], 3, 0) if len(picture) < 3 else picture[:3], 0, -1)
        scale = min(grid.width / shown.shape[1], grid.height / shown.shape[0])
        width, height = scale * shown.shape[1], scale * shown.shape[0]
        x, y = grid.corner(place)
        x += (grid.width - width) / 2
        sheet.pixels(shown, (x, y + height), (x + width, y))
    return sheet.picture


def _width(columns: int) -> float:
    """Inches of a cell, so that so many are as wide as a card."""
    return (CARD - _MARGINS.left - _MARGINS.right) / columns - _GAP


def spectrogram_grid(
    mels: Sequence[NDArray[np.float32]],
    seconds: float,
    captions: Sequence[str],
    title: str = "",
    words: Sequence[Sequence[tuple[float, str]]] = (),
) -> Figure:
    """Plot log-mel spectrograms, each (bins, frames), low tones below, all on the same scale of time and of power.

    seconds: that the longest takes. What is below the loudest by more than 80 dB is black. words: of each spectrogram,
    (second at which it begins, word); those after its end are left out.
    """
    longest = max((mel.shape[1] for mel in mels), default=1)
    top = max((float(mel.max(initial=-np.inf)) for mel in mels), default=0.0)
    colours = mpl.colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    pictures = []
    for mel in mels:
        shares = np.clip(1 + (mel[::-1] - top) / _NATS, 0, 1)
        picture = np.full((mel.shape[0], longest, 3), 255, np.uint8)  # white after its end
        picture[:, : mel.shape[1]] = colours[np.rint(255 * shares).astype(np.int64)]
        pictures.append(picture)
    sheet, grid = _grid(captions, 2, (_width(2), 0.8), title, below=0.2)
    for place, picture in enumerate(pictures):
        x, y = grid.corner(place)
        sheet.pixels(picture, (x, y + grid.height), (x + grid.width, y))
    for place, found in enumerate(words):
        if shares := [(second / seconds, word) for second, word in found if second < seconds]:
            _add_words(sheet, grid, place, shares)
    sheet.axis_labels(f"each {seconds:.3g} s wide; mel bands, low tones below", room=(0.02, 0))
    return sheet.picture


def _add_words(sheet: Sheet, grid: "_Grid", place: int, words: Sequence[tuple[float, str]]) -> None:
    """A line where each word begins, as a share of the width, with the word beside it."""
    left, top = grid.corner(place)
    x = [left + share * grid.width for share, _ in words]
    sheet.segments([(at, top) for at in x], [(at, top + grid.height) for at in x], WHITE, 0.6)
    for at, (_, word) in zip(x, words, strict=True):
        sheet.text(at + 0.02, top + 0.01, word, colour=WHITE, va="top")


def waveform_grid(
    waves: Sequence[NDArray[Any]], sample_rate: int, captions: Sequence[str], title: str = ""
) -> Figure:
    """Plot waveforms, each (n,), int16 or float in -1 .. 1, all on the same time and amplitude scale.

    Up to 6 are as wide as a card of TensorBoard, one below the other.
    """
    scaled = [w / 32768 if w.dtype.kind == "i" else np.asarray(w, dtype=np.float64) for w in waves]
    loudest = max((float(np.abs(w).max(initial=0.0)) for w in scaled), default=0.0) or 1.0
    longest = max((len(w) for w in scaled), default=0) or 1
    columns, wide = (1, _width(1)) if len(waves) <= _IN_A_CARD else (3, 3.2)
    sheet, grid = _grid(captions, columns, (wide, 1.1 if columns > 1 else 0.6), title, below=0.2)
    sheet.areas(
        [_band(grid, place, wave / loudest, longest) for place, wave in enumerate(scaled)], BLUE, BLUE
    )
    left = np.reshape([grid.corner(place) for place in range(len(waves))], (-1, 2)) + np.array(
        (0, grid.height / 2)
    )
    sheet.segments(left, left + np.array((grid.width, 0)), GREY, 0.5)
    sheet.axis_labels(
        f"each {longest / sample_rate:.3g} s wide, full height = {loudest:.2g} of full scale", room=(0.02, 0)
    )
    return sheet.picture


def _band(grid: "_Grid", place: int, wave: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """Return the envelope of a wave in -1 .. 1 as a polygon (points, 2), in inches."""
    low, high = _envelope(wave)
    left, top = grid.corner(place)
    x = left + np.linspace(0, len(wave) / longest, len(low)) * grid.width
    y = [top + grid.height / 2 * (1 - edge) for edge in (low, high)]
    return np.column_stack((np.append(x, x[::-1]), np.append(y[0], y[1][::-1])))


@dataclass(frozen=True)
class _Grid:
    """The positions of the samples, in inches from the upper left."""

    rows: int
    columns: int
    width: float
    height: float
    caption: float

    @property
    def extent(self) -> tuple[float, float]:
        """(width, height) of the whole grid."""
        return self.columns * (self.width + _GAP), self.rows * (self.caption + self.height + _GAP)

    def corner(self, place: int) -> tuple[float, float]:
        """Return (x, y) of a sample's upper left corner; its caption is above."""
        row, column = divmod(place, self.columns)
        x = column * (self.width + _GAP) + _GAP / 2
        return x, row * (self.caption + self.height + _GAP) + self.caption


def _grid(
    captions: Sequence[str], columns: int, cell: tuple[float, float], title: str, below: float = 0.0
) -> tuple[Sheet, _Grid]:
    """Return a sheet in inches from its upper left, with the captions; cell: (width, height) without the caption."""
    width, height = cell
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    grid = _Grid(max(1, math.ceil(len(captions) / columns)), columns, width, height, lines_of(lines, SMALL))
    wide, high = grid.extent
    sheet = Sheet(
        wide, high, _MARGINS._replace(bottom=_MARGINS.bottom + below), title, (0.0, wide), (high, 0.0)
    )
    letters = int(width * 14)  # of 8 points that fit into this width
    for place, caption in enumerate(captions):
        x, y = grid.corner(place)
        shortened = "\n".join(short(line, letters) for line in caption.split("\n"))
        sheet.text(x + width / 2, y - 0.02, shortened, ha="center", va="bottom")
    return sheet, grid


def _envelope(wave: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (minima, maxima) over at most 600 segments, so that the time to draw does not depend on the length."""
    if len(wave) < 2:
        padded = np.zeros(2)
        return padded, padded
    starts = np.unique(np.linspace(0, len(wave) - 2, min(_ENVELOPE, len(wave) - 1)).astype(np.int64))
    # each segment overlaps the next by one sample, so that the band has no gaps
    low, high = np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts)
    following = np.append(starts[1:], len(wave) - 1)
    return np.minimum(low, wave[following]), np.maximum(high, wave[following])
