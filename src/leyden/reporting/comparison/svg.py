"""Inline SVG plots without a library: scales with round ticks, a frame with axes; colours come from the page's CSS.

Compared with matplotlib's SVG they are small (a page has dozens), follow the light or dark scheme, and link each point.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from leyden.reporting.comparison.html_style import escape

WIDTH, HEIGHT = 620, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 46  # margins of the frame, in units of the drawing
COLOURS = 7  # classes c0 to c6 of the page's style


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map of values low..high to positions start..end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # ticks at integers only

    def at(self, value: float) -> float:
        """Return the position of a value, rounded to a tenth."""
        low, high, value = (self._transform(v) for v in (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def _transform(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values within the scale, about `most` at most."""
        if self.log:
            found = _log_ticks(self.low, self.high)
            if 2 <= len(found) <= 2 * most:
                return found
        step = _round_step((self.high - self.low) / most)
        step = max(step, 1.0) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [(first + place) * step for place in range(count)]


def _round_step(step: float) -> float:
    """Round up to the next of 1, 2, 5, 10, 20, ..."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 1000 else (1,)
    return [f * 10.0**p for p in powers for f in factors if low <= f * 10.0**p <= high]


def scale(
    values: Sequence[float], start: float, end: float, *, log: bool = False, whole: bool = False
) -> Scale:
    """Return a scale over all values with a margin; with `log`, logarithmic if all are positive and span a decade."""
    low, high = min(values), max(values)
    if log and low > 0 and high / low >= 10:
        return Scale(low / 1.25, high * 1.25, start, end, log=True)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - room, high + room, start, end, whole=whole)


def format_tick(value: float) -> str:
    """Format a tick label: 12k, 1.5M, 0.98."""
    if value == 0 or abs(value) < 1e-9:
        return "0"
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:.6g}"


def frame(x: Scale, y: Scale, x_name: str, y_name: str, content: str, title: str) -> str:
    """Return an SVG plot with grid, ticks and axis labels under `content`. title: text for screen readers."""
    bottom = HEIGHT - BOTTOM
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for value in y.ticks(8):
        at = y.at(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{format_tick(value)}</text>'
        )
    for value in x.ticks():
        at = x.at(value)
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at}" y="{bottom + 18}" text-anchor="middle">{format_tick(value)}</text>'
        )
    middle, centre = (LEFT + WIDTH - RIGHT) / 2, (TOP + bottom) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_name)}</text>')
    parts.append(
        f'<text transform="translate(14 {centre}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
    )
    wide, high = WIDTH - LEFT - RIGHT, bottom - TOP + 2
    size = f'x="{LEFT}" y="{TOP - 1}" width="{wide}" height="{high}" viewBox="{LEFT} {TOP - 1} {wide} {high}"'
    return "".join([*parts, f'<svg class="inside" {size}>{content}</svg></svg>'])


def inner() -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the plot area of `frame`: (start, end) of x, and of y upwards."""
    return (LEFT, WIDTH - RIGHT), (HEIGHT - BOTTOM, TOP)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the `d` attribute of a line through points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
