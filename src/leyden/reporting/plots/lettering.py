"""Lines of text as outlines of matplotlib's default font, and their sizes."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import LoadFlags
from matplotlib.path import Path
from numpy.typing import NDArray

_LINE = 1.25 / 72  # line height in inches per point of font size
_EM = 100.0  # points at which outlines are read


def max_width(texts: Sequence[str], size: float) -> float:
    """Return the width of the widest of some lines in inches, at a font size in points."""
    longest = sorted(texts, key=len)[-3:]  # the widest is one of them, or about as wide
    return max((width_of(text, size) for text in longest), default=0.0)


def lines_of(n: float, size: float) -> float:
    """Return the height of `n` lines in inches, at a font size in points."""
    return n * size * _LINE


def width_of(text: str, size: float) -> float:
    """Return the width of a line in inches, at a font size in points."""
    return sum(_glyph(letter)[2] for letter in text) * size / 72


@functools.cache
def _glyph(letter: str) -> tuple[NDArray[np.float64], NDArray[Any], float]:
    """The outline (n, 2) of a letter of matplotlib's default font, its path codes (n,) and its advance, in ems.

    Outlines are neither hinted nor moved to whole pixels, so that letters are evenly spaced at any size. Laying out and
    rendering each text by matplotlib is most of what a figure of its artists costs. A letter that the font has not got
    is its box for such letters.
    """
    font = get_font(findfont(FontProperties()))
    font.set_size(_EM, 72)
    glyph = font.load_glyph(font.get_char_index(ord(letter)), flags=LoadFlags.NO_HINTING)
    advance = glyph.linearHoriAdvance / 65536
    outline, codes = font.get_path()
    return outline / _EM, codes, advance / _EM


@functools.lru_cache(2048)  # the figures of a sweep repeat the same texts
def outline_of(text: str) -> Path:
    """Return the outline of a line of text from the start of its baseline, in ems."""
    glyphs = [_glyph(letter) for letter in text]
    starts = np.cumsum([0.0, *(advance for _, _, advance in glyphs)])
    drawn = [
        (v + np.array((x, 0)), codes) for (v, codes, _), x in zip(glyphs, starts, strict=False) if len(v)
    ]
    if not drawn:
        return Path(np.zeros((0, 2)))
    return Path(np.concatenate([v for v, _ in drawn]), np.concatenate([codes for _, codes in drawn]))
