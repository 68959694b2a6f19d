"""Samples in a grid, each under its caption: images and waveforms. One `Axes` holds them all, see `canvas`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.reporting.canvas import (
    BLUE,
    DOTS_PER_INCH,
    GREY,
    SMALL,
    Margins,
    blank,
    lines_of,
    name_axes,
    short,
)

_MOST_COLUMNS = 8
_ENVELOPE = 600  # pairs of points of a drawn waveform: about twice the pixels of its width
_GAP = 0.1  # inches between neighbours
_MARGINS = Margins(0.15, 0.1)


def image_grid(images: ArrayLike, captions: Sequence[str], title: str = "") -> Figure:
    """Images uint8 (N, C, H, W), pixels unsmoothed. One channel is grey; of many, the first three."""
    pictures = np.asarray(images)
    columns = min(_MOST_COLUMNS, max(1, math.ceil(math.sqrt(len(pictures)))))
    figure, axes, grid = _grid(captions, columns, (1.65, 1.4), title)
    pixels = np.full((*grid.pixels, 3), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        shown = np.moveaxis(np.repeat(picture[:1], 3, 0) if len(picture) < 3 else picture[:3], 0, -1)
        enlarged = _enlarge(shown, int(grid.width * DOTS_PER_INCH), int(grid.height * DOTS_PER_INCH))
        x, y = (round(inches * DOTS_PER_INCH) for inches in grid.corner(place))
        x += (int(grid.width * DOTS_PER_INCH) - enlarged.shape[1]) // 2
        pixels[y : y + len(enlarged), x : x + enlarged.shape[1]] = enlarged
    left, bottom = (round(inches * DOTS_PER_INCH) for inches in _MARGINS[:2])
    # pixel by pixel, not resampled; below the axes, which hold the captions
    figure.figimage(pixels, left, bottom, origin="upper", zorder=-1)
    axes.set_axis_off()
    return figure


def _enlarge(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) at the size that fits into the place, each pixel a square or left out."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    rows, columns = (
        (np.arange(max(1, int(n * scale))) / scale).astype(np.int64).clip(0, n - 1) for n in picture.shape[:2]
    )
    return picture[rows][:, columns]


def waveform_grid(
    waves: Sequence[NDArray[Any]], sample_rate: int, captions: Sequence[str], title: str = ""
) -> Figure:
    """Waveforms, each (n,), int16 or float in -1 .. 1; all on the same two scales: the longest fills its place."""
    scaled = [w / 32768 if w.dtype.kind == "i" else np.asarray(w, dtype=np.float64) for w in waves]
    loudest = max((float(np.abs(w).max(initial=0.0)) for w in scaled), default=0.0) or 1.0
    longest = max((len(w) for w in scaled), default=0) or 1
    figure, axes, grid = _grid(captions, min(3, max(1, len(waves))), (3.2, 1.1), title, below=0.2)
    bands = [_band(grid, place, wave / loudest, longest) for place, wave in enumerate(scaled)]
    axes.add_collection(PolyCollection(bands, facecolor=BLUE, edgecolor=BLUE, linewidth=0.6))
    corners = [grid.corner(place) for place in range(len(waves))]
    middles = [y + grid.height / 2 for _, y in corners]
    axes.hlines(middles, [x for x, _ in corners], [x + grid.width for x, _ in corners], color=GREY, lw=0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    name_axes(axes, f"each {longest / sample_rate:.3g} s wide, full height = {loudest:.2g} of full scale")
    return figure


def _band(grid: "_Grid", place: int, wave: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """The outline (points, 2) of a wave in -1 .. 1, in inches."""
    low, high = _envelope(wave)
    left, top = grid.corner(place)
    x = left + np.linspace(0, len(wave) / longest, len(low)) * grid.width
    y = [top + grid.height / 2 * (1 - edge) for edge in (low, high)]
    return np.column_stack((np.append(x, x[::-1]), np.append(y[0], y[1][::-1])))


@dataclass(frozen=True)
class _Grid:
    """Where the samples lie, in inches from the upper left."""

    rows: int
    columns: int
    width: float
    height: float
    caption: float

    @property
    def extent(self) -> tuple[float, float]:
        """(width, height) of all."""
        return self.columns * (self.width + _GAP), self.rows * (self.caption + self.height + _GAP)

    @property
    def pixels(self) -> tuple[int, int]:
        """(height, width) of all."""
        width, height = self.extent
        return round(height * DOTS_PER_INCH), round(width * DOTS_PER_INCH)

    def corner(self, place: int) -> tuple[float, float]:
        """(x, y) of a sample's upper left corner; its caption is above."""
        row, column = divmod(place, self.columns)
        x = column * (self.width + _GAP) + _GAP / 2
        return x, row * (self.caption + self.height + _GAP) + self.caption


def _grid(
    captions: Sequence[str], columns: int, cell: tuple[float, float], title: str, below: float = 0.0
) -> tuple[Figure, Axes, _Grid]:
    """A figure with a place for each caption; cell: inches (width, height) without the caption."""
    width, height = cell
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    grid = _Grid(max(1, math.ceil(len(captions) / columns)), columns, width, height, lines_of(lines, SMALL))
    figure, axes = blank(*grid.extent, _MARGINS._replace(bottom=_MARGINS.bottom + below), title)
    letters = int(width * 12)  # of 8 points, in that width
    for place, caption in enumerate(captions):
        x, y = grid.corner(place)
        words = "\n".join(short(line, letters) for line in caption.split("\n"))
        axes.text(x + width / 2, y - 0.02, words, ha="center", va="bottom", fontsize=SMALL)
    axes.set(xlim=(0, grid.extent[0]), ylim=(grid.extent[1], 0))
    return figure, axes, grid


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
