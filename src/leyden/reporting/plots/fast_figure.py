"""The pictures that every run draws: a matplotlib `Figure` with one artist, which draws them straight.

A finished run draws ten, and a sweep of small runs would spend most of its time on them: on axes, ticks, labels and
legends, each of many objects that matplotlib sets up, lays out and measures before it draws. A `Sheet` keeps lists of
numbers and gives them to matplotlib's renderer, so the figure can be saved in each of its formats as any other.
What people ask for one at a time is drawn on matplotlib's axes: `canvas.laid_out`.
"""

import functools
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.path import Path
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from leyden.reporting.plots.style import BLACK, DOTS_PER_INCH, LARGE, SMALL, short

Span = tuple[float, float]
Entry = tuple[str, str, str]  # of a key: words, colour, dashes or "" for an area
_HERE = IdentityTransform()
_LINE = 1.25 / 72  # inches of height of a line, for each point of its size
_ASCENT, _CAPITAL, _DESCENT = 0.77, 0.73, 0.24  # of DejaVu Sans, in sizes
_DASHES = {"-": (), "--": (3.7, 1.6), "-.": (6.4, 1.6, 1.0, 1.6), ":": (1.0, 1.65)}  # in line widths
_SHARE = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}  # of a text, before its place
_TICK = 0.04  # inches
_SAMPLE = 0.26  # inches of a line in a key


class Margins(NamedTuple):
    """Inches around the axes of a sheet."""

    left: float
    bottom: float
    right: float = 0.15
    top: float = 0.4


@dataclass(frozen=True)
class Lines:
    """Strokes, each (n, 2), in the units of the axes and `away` inches from there."""

    strokes: Sequence[NDArray[np.float64]]
    colour: str
    width: float  # points
    dashes: str = "-"
    away: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Areas:
    """Filled outlines, each (n, 2)."""

    outlines: Sequence[NDArray[np.float64]]
    colour: str
    edge: str | None = None
    away: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Words:
    """Text: (x, y), and `away` inches from there, is the corner or the middle that the alignments name."""

    x: float
    y: float
    words: str
    size: float = SMALL  # points
    colour: str = BLACK
    across: Literal["left", "center", "right"] = "left"
    up: Literal["bottom", "center", "top"] = "center"
    upright: bool = False  # turned by a quarter
    away: Span = (0.0, 0.0)


@dataclass(frozen=True)
class Pixels:
    """A picture uint8 (H, W, 3), unsmoothed, in the box from the lower left to the upper right corner."""

    pixels: NDArray[np.uint8]
    lower_left: Span
    upper_right: Span


Mark = Lines | Areas | Words | Pixels


class Sheet(Artist):
    """What is drawn on one figure: axes of (width, height) inches within margins, a title above them.

    Args:
        width: of the axes, in inches.
        height: of the axes, in inches.
        margins: around them.
        title: above all, shortened where it does not fit.
        x: values at the left and right end of the axes.
        y: values at their lower and upper end.

    Attributes:
        marks: what is drawn, in this order.
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
        figure = Figure(figsize=(wide, high), dpi=DOTS_PER_INCH)
        FigureCanvasAgg(figure)
        figure.add_artist(self)
        if title:
            fitting = short(title, max(20, int(wide * 72 / LARGE / 0.6)))
            middle = wide / 2 - margins.left - width / 2
            centre = (x[0] + x[1]) / 2
            self.words(
                centre, y[1], fitting, size=LARGE, across="center", up="top", away=(middle, margins.top - 0.1)
            )

    @property
    def picture(self) -> Figure:
        """The figure that it is drawn on."""
        figure = self.get_figure()
        assert isinstance(figure, Figure)
        return figure

    # --- what can be put on it ---

    def line(self, x: ArrayLike, y: ArrayLike, colour: str, width: float = 1.0, dashes: str = "-") -> None:
        """A line through points (n,)."""
        self.marks.append(Lines([np.column_stack((x, y)).astype(float)], colour, width, dashes))

    def segments(self, starts: ArrayLike, ends: ArrayLike, colour: str, width: float = 1.0) -> None:
        """Lines from points (n, 2) to points (n, 2)."""
        pairs = np.stack((np.asarray(starts, float), np.asarray(ends, float)), axis=1)
        self.marks.append(Lines(list(pairs.reshape(-1, 2, 2)), colour, width))

    def areas(self, outlines: Sequence[NDArray[np.float64]], colour: str, edge: str | None = None) -> None:
        """Filled outlines, each (n, 2)."""
        self.marks.append(Areas(outlines, colour, edge))

    def dots(self, x: ArrayLike, y: ArrayLike, colour: str, radius: float = 0.028) -> None:
        """Points (n,) as discs; the radius is in inches."""
        angle = np.linspace(0, 2 * np.pi, 13)
        disc = np.column_stack((np.cos(angle), np.sin(angle))) * radius / self._scale
        self.areas([disc + point for point in np.column_stack((x, y))], colour)

    def words(self, x: float, y: float, words: str, **how: Any) -> None:
        """Text of one line or more; how: the fields of `Words`."""
        self.marks.append(Words(x, y, words, **how))

    def pixels(self, pixels: NDArray[np.uint8], lower_left: Span, upper_right: Span) -> None:
        """A picture uint8 (H, W, 3)."""
        self.marks.append(Pixels(pixels, lower_left, upper_right))

    def frame(self, open_: bool = False) -> None:
        """The edges of the axes; open: the left and lower ones alone."""
        (left, right), (low, high) = self.x, self.y
        corners = [(left, high), (left, low), (right, low), (right, high), (left, high)]
        kept = np.array(corners[:3] if open_ else corners)
        self.line(kept[:, 0], kept[:, 1], BLACK, 0.8)

    def ticks(self, x: Sequence[float] = (), y: Sequence[float] = ()) -> None:
        """Marks with numbers, below the axes and at their left."""
        (left, low), (across, up) = (self.x[0], self.y[0]), (_TICK / self._scale).tolist()
        self.segments([(v, low) for v in x], [(v, low - up) for v in x], BLACK, 0.8)
        self.segments([(left, v) for v in y], [(left - across, v) for v in y], BLACK, 0.8)
        for value in x:
            self.words(value, low, f"{value:g}", across="center", up="top", away=(0.0, -_TICK - 0.03))
        for value in y:
            self.words(left, value, f"{value:g}", across="right", away=(-_TICK - 0.03, 0.0))

    def name(self, x: str = "", y: str = "", room: Span = (0.24, 0.3)) -> None:
        """Say what the axes are. room: inches for the numbers, below and at the left."""
        centre, middle = sum(self.x) / 2, sum(self.y) / 2
        if x:
            self.words(centre, self.y[0], x, size=SMALL, across="center", up="top", away=(0.0, -room[0]))
        if y:
            self.words(self.x[0], middle, y, size=SMALL, across="right", upright=True, away=(-room[1], 0.0))

    def key(self, entries: Sequence[Entry], at: Span, columns: int = 1) -> None:
        """What the colours mean. at: its upper left, in inches from the upper left of the axes."""
        rows = -(-len(entries) // columns)
        corner = (self.x[0], self.y[1])
        wide, high = key_width(entries), key_height(rows)
        back = np.array(((0, 0), (wide * columns, 0), (wide * columns, -high), (0, -high))) / self._scale
        self.marks.append(Areas([np.array(corner) + back], "#FFFFFFCC", None, at))  # on what it may hide
        for i, (words, colour, dashes) in enumerate(entries):
            column, row = divmod(i, rows)
            left, middle = at[0] + column * wide, at[1] - key_height(row + 0.5)
            if dashes:
                stroke = np.array((corner, corner)) + np.array(((0.0, 0.0), (_SAMPLE, 0.0))) / self._scale
                self.marks.append(Lines([stroke], colour, 1.6, dashes, (left, middle)))
            else:
                box = np.array(((0, -0.04), (_SAMPLE, -0.04), (_SAMPLE, 0.04), (0, 0.04))) / self._scale
                self.marks.append(Areas([np.array(corner) + box], colour, None, (left, middle)))
            self.words(*corner, words, away=(left + _SAMPLE + 0.06, middle))

    # --- drawing ---

    def draw(self, renderer: Any) -> None:
        """Draw all marks, as matplotlib asks for it."""
        for mark in self.marks:
            gc = renderer.new_gc()
            if isinstance(mark, Lines):
                self._stroke(renderer, gc, mark)
            elif isinstance(mark, Areas):
                self._fill(renderer, gc, mark)
            elif isinstance(mark, Words):
                self._write(renderer, gc, mark)
            else:
                self._show(renderer, gc, mark)
            gc.restore()

    def _stroke(self, renderer: Any, gc: Any, mark: Lines) -> None:
        width = renderer.points_to_pixels(mark.width)
        gc.set_foreground(mark.colour)
        gc.set_linewidth(width)
        gc.set_capstyle("butt")
        if dashes := _DASHES[mark.dashes]:
            gc.set_dashes(0, [width * length for length in dashes])
        renderer.draw_path(gc, _path([self._dots(stroke, mark.away) for stroke in mark.strokes]), _HERE)

    def _fill(self, renderer: Any, gc: Any, mark: Areas) -> None:
        gc.set_foreground(mark.edge or mark.colour)
        gc.set_linewidth(renderer.points_to_pixels(1.0) if mark.edge else 0.0)
        outlines = [self._dots(outline[[*range(len(outline)), 0]], mark.away) for outline in mark.outlines]
        renderer.draw_path(gc, _path(outlines), _HERE, to_rgba(mark.colour))

    def _write(self, renderer: Any, gc: Any, mark: Words) -> None:
        gc.set_foreground(mark.colour)
        height = self.picture.bbox.height
        for words, x, y in self._lines(mark):
            if isinstance(renderer, RendererAgg):
                stamp, right, up = _stamp(words, mark.size * renderer.dpi / 72, mark.colour, mark.upright)
                renderer.draw_image(gc, round(x + right), round(y + up), stamp)
            else:
                below = height - y if renderer.flipy() else y
                angle = 90.0 if mark.upright else 0.0
                renderer.draw_text(gc, x, below, words, FontProperties(size=mark.size), angle)

    def _show(self, renderer: Any, gc: Any, mark: Pixels) -> None:
        (left, low), (right, high) = (self._dots(p) for p in (mark.lower_left, mark.upper_right))
        scale = renderer.get_image_magnification()
        shape = [max(1, round(abs(length) * scale)) for length in (high - low, right - left)]
        rows, columns = (np.arange(n) * side // n for n, side in zip(shape, mark.pixels.shape, strict=False))
        opaque = np.dstack((mark.pixels, np.full(mark.pixels.shape[:2], 255, dtype=np.uint8)))
        renderer.draw_image(gc, round(left), round(low), opaque[:, columns][rows[::-1]])

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """The box around everything, in pixels: for what cuts a figure to its content."""
        corners = [corner for mark in self.marks for corner in self._corners(mark)]
        points = np.reshape(corners, (-1, 2)) if corners else np.zeros((1, 2))
        return Bbox([points.min(axis=0), points.max(axis=0)])

    def _corners(self, mark: Mark) -> Iterator[NDArray[np.float64]]:
        if isinstance(mark, Pixels):
            yield from (self._dots(mark.lower_left), self._dots(mark.upper_right))
        elif isinstance(mark, Words):
            em = mark.size / 72 * self.picture.dpi
            for words, x, y in self._lines(mark):
                long = width_of(words, mark.size) * self.picture.dpi
                for end in (-_DESCENT * em, _ASCENT * em):
                    yield from np.array(
                        ((x - end, y), (x - end, y + long))
                        if mark.upright
                        else ((x, y + end), (x + long, y + end))
                    )
        else:
            points = mark.strokes if isinstance(mark, Lines) else mark.outlines
            yield from (corner for stroke in points for corner in self._dots(stroke, mark.away))

    def _dots(self, points: ArrayLike, away: Span = (0.0, 0.0)) -> NDArray[np.float64]:
        """Points (n, 2) or (2,) in pixels from the figure's lower left."""
        inches = (np.asarray(points) - self._start) * self._scale + self._origin + away
        return np.asarray(inches * self.picture.dpi)

    def _lines(self, mark: Words) -> Iterator[tuple[str, float, float]]:
        """(words, x, y) of each line: where its writing begins, on its base line, in pixels."""
        x, y = self._dots((mark.x, mark.y), mark.away).tolist()
        dots = self.picture.dpi
        em, lines = mark.size / 72 * dots, mark.words.split("\n")
        if mark.upright:
            base = x + {"left": _ASCENT, "center": _CAPITAL / 2, "right": -_DESCENT}[mark.across] * em
            yield mark.words, base, y - _SHARE[mark.up] * width_of(mark.words, mark.size) * dots
            return
        under = (1 - _SHARE[mark.up]) * (len(lines) - 1)  # lines below the first
        y += {"bottom": _DESCENT, "center": -_CAPITAL / 2, "top": -_ASCENT}[mark.up] * em
        for i, words in enumerate(lines):
            share = _SHARE[mark.across]
            back = share * width_of(words, mark.size) * dots if share else 0.0  # else it need not be measured
            yield words, x - back, y + (under - i) * lines_of(1, mark.size) * dots


def bars(left: ArrayLike, width: float, height: ArrayLike, base: float = 0.0) -> list[NDArray[np.float64]]:
    """The corners, n times (4, 2), of bars that stand on a base."""
    x, y = np.asarray(left, dtype=float), np.asarray(height, dtype=float)
    corners = ((x, 0 * y), (x, y), (x + width, y), (x + width, 0 * y))
    return list(np.stack([np.stack((a, b + base), axis=-1) for a, b in corners], axis=1))


def key_width(entries: Sequence[Entry]) -> float:
    """Inches that a column of a key takes."""
    return breadth([words for words, _, _ in entries], SMALL) + _SAMPLE + 0.2


def key_height(rows: float) -> float:
    """Inches that so many rows of a key take."""
    return lines_of(1, SMALL) * 1.15 * rows


def breadth(texts: Sequence[str], size: float) -> float:
    """Inches that the longest of some lines takes at a size in points."""
    longest = sorted(texts, key=len)[-3:]  # the widest is one of them, or about as wide
    return max((width_of(words, size) for words in longest), default=0.0)


def lines_of(n: float, size: float) -> float:
    """Inches of height that `n` lines of a size in points take."""
    return n * size * _LINE


def width_of(words: str, size: float) -> float:
    """Inches that a line takes at a size in points."""
    return _type(10 * size).getlength(words) / 720


@functools.lru_cache(2048)  # a sweep writes the same words again and again
def _stamp(words: str, size: float, colour: str, upright: bool) -> tuple[NDArray[np.uint8], int, int]:
    """A line as pixels (H, W, 4), the lowest row first, and where its corner lies, seen from where its writing begins.

    By Pillow: matplotlib takes thirty times as long, glyph by glyph.
    """
    left, top, right, bottom = _type(size).getbbox(words, anchor="ls")
    cover = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(cover).text((-left, -top), words, fill=255, font=_type(size), anchor="ls")
    ink = np.rot90(np.asarray(cover), int(upright))
    stamp = np.empty((*ink.shape, 4), dtype=np.uint8)
    stamp[..., :3], stamp[..., 3] = np.rint(255 * np.array(to_rgba(colour)[:3])), ink
    return (stamp[::-1], int(top), int(left)) if upright else (stamp[::-1], int(left), -int(bottom))


@functools.lru_cache(32)
def _type(size: float) -> ImageFont.FreeTypeFont:
    """matplotlib's own font, at a size in pixels."""
    return ImageFont.truetype(findfont(FontProperties()), size, layout_engine=ImageFont.Layout.BASIC)


def png(figure: Figure) -> tuple[bytes, int, int]:
    """A figure as a PNG file, its width and its height in pixels.

    Its rows are not filtered, which gains nothing for a drawing: Pillow, which always does, takes three times as long
    for a larger file.
    """
    canvas: Any = figure.canvas
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    width, height = picture.size
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each after the number of its filter, 0
    rows[:, 1:] = np.asarray(picture).reshape(height, -1)
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # eight bits of each of three colours
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.data, 3)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts), width, height


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _path(strokes: Sequence[NDArray[np.float64]]) -> Path:
    """One path of several strokes."""
    if not strokes:
        return Path(np.zeros((0, 2)))
    codes = [np.r_[Path.MOVETO, np.full(len(stroke) - 1, Path.LINETO)] for stroke in strokes]
    return Path(np.concatenate(strokes), np.concatenate(codes).astype(Path.code_type))
