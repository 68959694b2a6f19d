"""Fast figures: a matplotlib `Figure` with a single artist that draws everything directly.

A finished run draws ten figures and more, and a sweep of small runs would spend most of its time on them: on axes,
ticks and laid out texts, which matplotlib creates and measures before it draws (65 to 105 ms a figure, against 10 to
18). A `Sheet` keeps lists of numbers and passes them to matplotlib's renderer, so that the figure can be saved in any
format. Figures that are requested one at a time use matplotlib's axes: `style.new_figure`.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, IdentityTransform
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from leyden.reporting.plots.lettering import lines_of, max_width, outline_of, width_of
from leyden.reporting.plots.style import BLACK, LARGE, SMALL, short

Span = tuple[float, float]
Entry = tuple[str, str, str]  # of a legend: text, colour, dashes or "" for an area
_IDENTITY = IdentityTransform()
_DOTS_PER_INCH = 200  # twice the size at which TensorBoard shows a figure of this width
_ASCENT, _CAPITAL, _DESCENT = 0.77, 0.73, 0.24  # of DejaVu Sans, relative to the font size
_DASHES = {"-": (), "--": (3.7, 1.6), "-.": (6.4, 1.6, 1.0, 1.6), ":": (1.0, 1.65)}  # in line widths
_SHARE = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}  # of a text, before its anchor
_TICK = 0.04  # inches
_BOLDER = 0.2  # points around letters: TensorBoard shows every second pixel, which must hit each stroke
_SAMPLE = 0.26  # inches of a line in a legend
_KEY = 1.15 * lines_of(1, SMALL)  # inches of a legend's row


class Margins(NamedTuple):
    """Inches around the axes of a sheet."""

    left: float
    bottom: float
    right: float = 0.15
    top: float = 0.4


@dataclass(frozen=True)
class Lines:
    """Lines, each (n, 2), in data coordinates, shifted by `offset` inches."""

    strokes: Sequence[NDArray[np.float64]]
    colour: str
    width: float  # points
    dashes: str = "-"
    offset: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Areas:
    """Filled polygons, each (n, 2), in data coordinates, shifted by `offset` inches."""

    outlines: Sequence[NDArray[np.float64]]
    colour: str
    edge: str | None = None
    offset: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Text:
    """Text anchored at the data coordinates (x, y), shifted by `offset` inches. ha, va: alignment as in matplotlib."""

    x: float
    y: float
    text: str
    size: float = SMALL  # points
    colour: str = BLACK
    ha: Literal["left", "center", "right"] = "left"
    va: Literal["bottom", "center", "top"] = "center"
    rotated: bool = False  # by 90 degrees
    offset: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Pixels:
    """An image uint8 (H, W, 3), without interpolation, in the box from the lower left to the upper right corner."""

    pixels: NDArray[np.uint8]
    lower_left: Span
    upper_right: Span


Mark = Lines | Areas | Text | Pixels


class Sheet(Artist):
    """The content of one figure: axes of (width, height) inches within margins, and a title above them.

    Args:
        width: of the axes, in inches.
        height: of the axes, in inches.
        margins: around them.
        title: at the top, shortened if it does not fit.
        x: values at the left and right end of the axes.
        y: values at the lower and upper end of the axes.

    Attributes:
        marks: the elements, in drawing order.
    """

    def __init__(
        self,
        width: float,
        height: float,
        margins: Margins,
        title: str = "",
        x: Span = (0.0, 1.0),
        y: Span = (0.0, 1.0),
    ) -> None:
        super().__init__()
        wide, high = margins.left + width + margins.right, margins.bottom + height + margins.top
        self.marks: list[Mark] = []
        self.x, self.y = x, y
        self._origin = np.array((margins.left, margins.bottom))
        self._start = np.array((x[0], y[0]))
        self._scale = np.array((width / (x[1] - x[0]), height / (y[1] - y[0])))
        figure = Figure(figsize=(wide, high), dpi=_DOTS_PER_INCH)
        FigureCanvasAgg(figure)
        figure.add_artist(self)
        if title:
            fitting = short(title, int(len(title) * min(1.0, (wide - 0.1) / width_of(title, LARGE))))
            middle = wide / 2 - margins.left - width / 2
            centre = (x[0] + x[1]) / 2
            self.text(
                centre, y[1], fitting, size=LARGE, ha="center", va="top", offset=(middle, margins.top - 0.1)
            )

    @property
    def picture(self) -> Figure:
        """The figure that contains the sheet."""
        figure = self.get_figure()
        assert isinstance(figure, Figure)
        return figure

    # --- elements ---

    def line(self, x: ArrayLike, y: ArrayLike, colour: str, width: float = 1.0, dashes: str = "-") -> None:
        """Add a line through points (n,)."""
        self.marks.append(Lines([np.column_stack((x, y)).astype(float)], colour, width, dashes))

    def segments(self, starts: ArrayLike, ends: ArrayLike, colour: str, width: float = 1.0) -> None:
        """Add lines from points (n, 2) to points (n, 2)."""
        pairs = np.stack((np.asarray(starts, float), np.asarray(ends, float)), axis=1)
        self.marks.append(Lines(list(pairs.reshape(-1, 2, 2)), colour, width))

    def areas(self, outlines: Sequence[NDArray[np.float64]], colour: str, edge: str | None = None) -> None:
        """Add filled polygons, each (n, 2)."""
        self.marks.append(Areas(outlines, colour, edge))

    def dots(self, x: ArrayLike, y: ArrayLike, colour: str, radius: float = 0.028) -> None:
        """Add points (n,) as discs; the radius is in inches."""
        angle = np.linspace(0, 2 * np.pi, 13)
        disc = np.column_stack((np.cos(angle), np.sin(angle))) * radius / self._scale
        self.areas([disc + point for point in np.column_stack((x, y))], colour)

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        """Add text of one or more lines; options: the fields of `Text`."""
        self.marks.append(Text(x, y, text, **options))

    def pixels(self, pixels: NDArray[np.uint8], lower_left: Span, upper_right: Span) -> None:
        """Add an image uint8 (H, W, 3)."""
        self.marks.append(Pixels(pixels, lower_left, upper_right))

    def frame(self, open_: bool = False) -> None:
        """Add the edges of the axes; open_: only the left and lower ones."""
        (left, right), (low, high) = self.x, self.y
        corners = [(left, high), (left, low), (right, low), (right, high), (left, high)]
        kept = np.array(corners[:3] if open_ else corners)
        self.line(kept[:, 0], kept[:, 1], BLACK, 0.8)

    def ticks(self, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
        """Add ticks with labels below and left of the axes."""
        (left, low), (length_x, length_y) = (self.x[0], self.y[0]), (_TICK / self._scale).tolist()
        self.segments([(v, low) for v in x], [(v, low - length_y) for v in x], BLACK, 0.8)
        self.segments([(left, v) for v in y], [(left - length_x, v) for v in y], BLACK, 0.8)
        for value in x:
            self.text(value, low, f"{value:g}", ha="center", va="top", offset=(0.0, -_TICK - 0.03))
        for value in y:
            self.text(left, value, f"{value:g}", ha="right", offset=(-_TICK - 0.03, 0.0))

    def axis_labels(self, x: str = "", y: str = "", room: Span = (0.24, 0.3)) -> None:
        """Add axis labels. room: inches for the tick labels, below and at the left."""
        centre, middle = sum(self.x) / 2, sum(self.y) / 2
        if x:
            self.text(centre, self.y[0], x, size=SMALL, ha="center", va="top", offset=(0.0, -room[0]))
        if y:
            self.text(self.x[0], middle, y, size=SMALL, ha="right", rotated=True, offset=(-room[1], 0.0))

    def legend(self, entries: Sequence[Entry], room: float = 0.48) -> None:
        """Add a legend below the axes, off the lines; the lower margin must have room: `legend_height`.

        room: inches of the tick and axis labels above it.
        """
        width = float((self.x[1] - self.x[0]) * self._scale[0])
        columns = legend_columns(entries, width)
        rows, wide = -(-len(entries) // columns), legend_width(entries)
        at = (-0.3, float((self.y[0] - self.y[1]) * self._scale[1]) - room)
        corner = (self.x[0], self.y[1])
        for i, (text, colour, dashes) in enumerate(entries):
            column, row = divmod(i, rows)
            left, middle = at[0] + column * wide, at[1] - _KEY * (row + 0.5)
            if dashes:
                stroke = np.array((corner, corner)) + np.array(((0.0, 0.0), (_SAMPLE, 0.0))) / self._scale
                self.marks.append(Lines([stroke], colour, 1.6, dashes, (left, middle)))
            else:
                box = np.array(((0, -0.04), (_SAMPLE, -0.04), (_SAMPLE, 0.04), (0, 0.04))) / self._scale
                self.marks.append(Areas([np.array(corner) + box], colour, None, (left, middle)))
            self.text(*corner, text, offset=(left + _SAMPLE + 0.06, middle))

    # --- drawing ---

    def draw(self, renderer: Any) -> None:
        """Draw all marks; called by matplotlib."""
        for mark in self.marks:
            gc = renderer.new_gc()
            if isinstance(mark, Lines):
                self._stroke(renderer, gc, mark)
            elif isinstance(mark, Areas):
                self._fill(renderer, gc, mark)
            elif isinstance(mark, Text):
                self._draw_text(renderer, gc, mark)
            else:
                self._draw_image(renderer, gc, mark)
            gc.restore()

    def _stroke(self, renderer: Any, gc: Any, mark: Lines) -> None:
        gc.set_foreground(mark.colour)
        gc.set_linewidth(mark.width)
        gc.set_capstyle("butt")
        if dashes := _DASHES[mark.dashes]:
            gc.set_dashes(0, [mark.width * length for length in dashes])
        strokes = [self._to_pixels(stroke, mark.offset) for stroke in mark.strokes]
        renderer.draw_path(gc, _path(strokes), _IDENTITY)

    def _fill(self, renderer: Any, gc: Any, mark: Areas) -> None:
        gc.set_foreground(mark.edge or mark.colour)
        gc.set_linewidth(1.0 if mark.edge else 0.0)
        closed = (outline[[*range(len(outline)), 0]] for outline in mark.outlines)
        outlines = [self._to_pixels(outline, mark.offset) for outline in closed]
        renderer.draw_path(gc, _path(outlines), _IDENTITY, to_rgba(mark.colour))

    def _draw_text(self, renderer: Any, gc: Any, mark: Text) -> None:
        gc.set_foreground(mark.colour)
        gc.set_linewidth(_BOLDER)
        gc.set_snap(False)
        height = self.picture.bbox.height
        for line, x, y in self._lines(mark):
            if isinstance(renderer, RendererAgg):
                place = Affine2D().scale(mark.size * renderer.dpi / 72)
                place = (place.rotate_deg(90) if mark.rotated else place).translate(x, y)
                renderer.draw_path(gc, outline_of(line), place, to_rgba(mark.colour))
            else:
                below = height - y if renderer.flipy() else y
                angle = 90.0 if mark.rotated else 0.0
                renderer.draw_text(gc, x, below, line, FontProperties(size=mark.size), angle)

    def _draw_image(self, renderer: Any, gc: Any, mark: Pixels) -> None:
        (left, low), (right, high) = (self._to_pixels(p) for p in (mark.lower_left, mark.upper_right))
        scale = renderer.get_image_magnification()
        shape = [max(1, round(abs(length) * scale)) for length in (high - low, right - left)]
        rows, columns = (np.arange(n) * side // n for n, side in zip(shape, mark.pixels.shape, strict=False))
        opaque = np.dstack((mark.pixels, np.full(mark.pixels.shape[:2], 255, dtype=np.uint8)))
        renderer.draw_image(gc, round(left), round(low), opaque[:, columns][rows[::-1]])

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """Return the bounding box of all marks, in pixels; used for `bbox_inches="tight"`."""
        corners = [corner for mark in self.marks for corner in self._corners(mark)]
        points = np.reshape(corners, (-1, 2)) if corners else np.zeros((1, 2))
        return Bbox([points.min(axis=0), points.max(axis=0)])

    def _corners(self, mark: Mark) -> Iterator[NDArray[np.float64]]:
        if isinstance(mark, Pixels):
            yield from (self._to_pixels(mark.lower_left), self._to_pixels(mark.upper_right))
        elif isinstance(mark, Text):
            em = mark.size / 72 * self.picture.dpi
            for line, x, y in self._lines(mark):
                long = width_of(line, mark.size) * self.picture.dpi
                for end in (-_DESCENT * em, _ASCENT * em):
                    yield from np.array(
                        ((x - end, y), (x - end, y + long))
                        if mark.rotated
                        else ((x, y + end), (x + long, y + end))
                    )
        else:
            points = mark.strokes if isinstance(mark, Lines) else mark.outlines
            yield from (corner for stroke in points for corner in self._to_pixels(stroke, mark.offset))

    def _to_pixels(self, points: ArrayLike, offset: Span = (0.0, 0.0)) -> NDArray[np.float64]:
        """Convert points (n, 2) or (2,) from data coordinates to pixels from the figure's lower left."""
        inches = (np.asarray(points) - self._start) * self._scale + self._origin + offset
        return np.asarray(inches * self.picture.dpi)

    def _lines(self, mark: Text) -> Iterator[tuple[str, float, float]]:
        """Yield (text, x, y) of each line: the start of its baseline, in pixels."""
        x, y = self._to_pixels((mark.x, mark.y), mark.offset).tolist()
        dpi = self.picture.dpi
        em, lines = mark.size / 72 * dpi, mark.text.split("\n")
        if mark.rotated:
            base = x + {"left": _ASCENT, "center": _CAPITAL / 2, "right": -_DESCENT}[mark.ha] * em
            yield mark.text, base, y - _SHARE[mark.va] * width_of(mark.text, mark.size) * dpi
            return
        under = (1 - _SHARE[mark.va]) * (len(lines) - 1)  # lines below the first
        y += {"bottom": _DESCENT, "center": -_CAPITAL / 2, "top": -_ASCENT}[mark.va] * em
        for i, line in enumerate(lines):
            share = _SHARE[mark.ha]
            back = share * width_of(line, mark.size) * dpi if share else 0.0  # measuring takes time
            yield line, x - back, y + (under - i) * lines_of(1, mark.size) * dpi


def bars(left: ArrayLike, width: float, height: ArrayLike, base: float = 0.0) -> list[NDArray[np.float64]]:
    """Return the corners of n bars on a base, each (4, 2)."""
    x, y = np.asarray(left, dtype=float), np.asarray(height, dtype=float)
    corners = ((x, 0 * y), (x, y), (x + width, y), (x + width, 0 * y))
    return list(np.stack([np.stack((a, b + base), axis=-1) for a, b in corners], axis=1))


def legend_width(entries: Sequence[Entry]) -> float:
    """Return the width of a legend's column in inches."""
    return max_width([text for text, _, _ in entries], SMALL) + _SAMPLE + 0.2


def legend_columns(entries: Sequence[Entry], width: float) -> int:
    """Return how many columns of a legend, at most 2, fit below axes of a width in inches."""
    return 2 if len(entries) > 1 and 2 * legend_width(entries) < width + 0.4 else 1


def legend_height(entries: Sequence[Entry], width: float) -> float:
    """Return the height in inches of a legend below axes of a width in inches."""
    return _KEY * -(-len(entries) // legend_columns(entries, width))


def png(figure: Figure) -> tuple[bytes, int, int]:
    """Render a figure; returns (PNG file content, width, height in pixels)."""
    canvas: Any = figure.canvas
    canvas.draw()
    picture, stored = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), io.BytesIO()
    picture.save(stored, "png", compress_level=1)  # few colours: more takes time and saves little
    return stored.getvalue(), *picture.size


def _path(strokes: Sequence[NDArray[np.float64]]) -> Path:
    """Combine several strokes into one path."""
    if not strokes:
        return Path(np.zeros((0, 2)))
    codes = [np.r_[Path.MOVETO, np.full(len(stroke) - 1, Path.LINETO)] for stroke in strokes]
    return Path(np.concatenate(strokes), np.concatenate(codes).astype(Path.code_type))
