"""Sheets: positions of all marks in every format; the PNG for TensorBoard equals the rendered figure."""

import io
import re
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from leyden.reporting.plots.fast_figure import Margins, Sheet, bars, png
from leyden.reporting.plots.lettering import outline_of, width_of

DOTS = 200  # an inch
MARGINS = Margins(1.0, 1.0, 1.0, 1.0)


def ink(sheet: Sheet) -> tuple[float, float, float, float]:
    """(left, bottom, right, top) of what is not white, in pixels from the lower left."""
    canvas: Any = sheet.picture.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    there = (pixels < 128).any(2)
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    return columns[0], len(pixels) - 1 - rows[-1], columns[-1] + 1, len(pixels) - rows[0]


@pytest.mark.parametrize(
    ("ha", "va", "rotated"),
    list(product(("left", "center", "right"), ("bottom", "center", "top"), (False, True))),
)
def test_text_is_drawn_at_its_anchor(ha: str, va: str, rotated: bool) -> None:
    sheet = Sheet(2.0, 2.0, MARGINS, x=(0.0, 10.0), y=(20.0, 0.0))
    sheet.text(5.0, 5.0, "Eflag", size=20, ha=ha, va=va, rotated=rotated, offset=(0.1, -0.2))
    x, y = DOTS * (1.0 + 1.0 + 0.1), DOTS * (1.0 + 1.5 - 0.2)
    left, bottom, right, top = ink(sheet)
    share = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "top": 1.0}
    long, high = DOTS * width_of("Eflag", 20), 0.28 * DOTS  # a size of 20 points is .28 inches
    wide, tall = (high, long) if rotated else (long, high)
    assert left - 12 <= x - share[ha] * wide <= left + 12
    assert bottom - 12 <= y - share[va] * tall <= bottom + 12
    assert (right - left > top - bottom) is not rotated
    extent = sheet.get_window_extent()
    assert extent.x0 - 2 <= left
    assert extent.y0 - 2 <= bottom
    assert right <= extent.x1 + 2
    assert top <= extent.y1 + 2


def test_lines_of_text_are_stacked() -> None:
    sheet = Sheet(2.0, 2.0, MARGINS)
    sheet.text(0.5, 0.5, "E\nEEEE", size=20, ha="center", va="bottom")
    pixels = np.asarray(Image.open(io.BytesIO(png(sheet.picture)[0])))
    there = (pixels < 128).any(2)
    upper, lower = there[260:324].sum(), there[332:400].sum()
    assert 0 < upper < lower / 3


def test_lines_areas_and_pixels_are_drawn_at_their_coordinates() -> None:
    line, area, picture = (Sheet(2.0, 2.0, MARGINS, x=(0.0, 4.0), y=(0.0, 4.0)) for _ in range(3))
    line.segments([(1.0, 2.0)], [(3.0, 2.0)], "#000000", 3.0)
    assert ink(line) == pytest.approx((300, 396, 500, 404), abs=1)
    area.areas(bars([1.0], 2.0, [3.0], 0.5), "#000000")
    assert ink(area) == pytest.approx((300, 250, 500, 550), abs=1)
    hollow = Sheet(2.0, 2.0, MARGINS, x=(0.0, 4.0), y=(0.0, 4.0))
    hollow.areas(bars([1.0], 2.0, [3.0], 0.5), "white", "#000000")
    assert ink(hollow) == pytest.approx((300, 250, 500, 550), abs=2)
    base = np.asarray(Image.open(io.BytesIO(png(hollow.picture)[0])))[547:555, 320:480]
    assert (base < 128).all(2).any(0).all(), "its edge is closed"
    corner = np.full((2, 2, 3), 255, dtype=np.uint8)
    corner[0, 1] = 0  # the upper right one is black
    picture.pixels(corner, (0.0, 0.0), (4.0, 4.0))
    assert ink(picture) == (400, 400, 600, 600)


def test_dashes_leave_gaps() -> None:
    dark = []
    for dashes in ("-", "--", ":"):
        sheet = Sheet(2.0, 2.0, MARGINS)
        sheet.line((0.0, 1.0), (0.5, 0.5), "#000000", 2.0, dashes)
        left, _, right, _ = ink(sheet)
        dark.append((np.asarray(Image.open(io.BytesIO(png(sheet.picture)[0]))) < 128).all(2).any(0).sum())
        assert right - left == pytest.approx(400, abs=8)
    assert dark[0] > dark[1] > dark[2]


def full_sheet() -> Sheet:
    sheet = Sheet(2.0, 2.0, MARGINS, "a title of $5")
    sheet.areas(bars([0.1, 0.5], 0.2, [0.3, 0.9]), "#56B4E9", "white")
    sheet.dots([0.5], [0.5], "#0072B2")
    sheet.pixels(np.zeros((3, 3, 3), dtype=np.uint8), (0.8, 0.8), (1.0, 1.0))
    sheet.frame()
    sheet.ticks((0.0, 0.5), (0.0, 1.0))
    sheet.axis_labels("below", "beside")
    sheet.legend([("a line", "#000000", "-."), ("an area", "#56B4E9", "")])
    return sheet


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_sheet_is_saved_like_any_figure(ending: str) -> None:
    stored = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        full_sheet().picture.savefig(stored, format=ending, bbox_inches="tight", dpi=150)
    assert len(stored.getvalue()) > 2000
    if ending == "png":
        width, height = Image.open(stored).size
        assert 350 < width < 600  # of four inches at 150 dots: cut to what is drawn
        assert 350 < height < 600
    if ending == "svg":
        assert stored.getvalue().count(b"<image") == 1
        assert re.search(rb">\s*a title of \$5\s*<", stored.getvalue()), "words stay words"


def test_the_png_equals_the_rendered_figure() -> None:
    figure = full_sheet().picture
    stored, width, height = png(figure)
    decoded = Image.open(io.BytesIO(stored))
    decoded.load()  # checks the sums, too
    canvas: Any = figure.canvas
    assert decoded.size == (width, height) == canvas.get_width_height()
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(canvas.buffer_rgba())[..., :3])


def test_text_has_the_extent_of_matplotlibs() -> None:
    sheet = Sheet(2.0, 2.0, MARGINS)
    sheet.text(0.0, 0.0, "Confusion 0.123", size=12, va="bottom")
    ours = ink(sheet)
    sheet.marks.clear()
    sheet.picture.text(0.25, 0.25, "Confusion 0.123", fontsize=12, va="bottom")
    theirs = ink(sheet)
    assert ours[2] - ours[0] == pytest.approx(theirs[2] - theirs[0], abs=6)  # theirs is hinted
    assert ours[3] - ours[1] == pytest.approx(theirs[3] - theirs[1], abs=4)


def test_letters_are_evenly_spaced() -> None:
    """Each next letter stands as far from the one before as its advance says, not at the next whole pixel."""
    sheet = Sheet(2.0, 2.0, MARGINS)
    sheet.text(0.0, 0.5, "l" * 20, size=8)
    canvas: Any = sheet.picture.canvas
    canvas.draw()
    ink_of_columns = 255 - np.asarray(canvas.buffer_rgba())[..., 0].min(0).astype(float)
    column = np.arange(len(ink_of_columns))
    pitch = DOTS * width_of("l", 8)
    start = DOTS * 1.0
    of = np.floor((column + 0.5 - start) / pitch).astype(int)
    inside = (of >= 0) & (of < 20)
    middles = np.bincount(of[inside], (ink_of_columns * (column + 0.5))[inside]) / np.bincount(
        of[inside], ink_of_columns[inside]
    )
    np.testing.assert_allclose(np.diff(middles), pitch, atol=0.15)
    assert pitch % 1 > 0.1  # whole pixels would be seen


def test_letters_that_the_font_has_not_got_are_boxes() -> None:
    """Names of classes may be in any script; a figure must not end the run whose it is."""
    assert width_of("日本", 10) > 0
    box, letter = outline_of("日"), outline_of("a")
    assert len(box.vertices) > 4
    assert np.array_equal(box.vertices, outline_of("本").vertices)
    assert not np.array_equal(box.vertices[:4], letter.vertices[:4])
