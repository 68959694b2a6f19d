"""Figures of a regression's evaluation, one target each, from plain arrays; each function returns a `Figure`."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from leyden.metrics.regression import evaluate_regression
from leyden.reporting.format import count, number
from leyden.reporting.plots.fast_figure import Margins, Sheet, Span, legend_height
from leyden.reporting.plots.lettering import max_width
from leyden.reporting.plots.style import BLACK, BLUE, CARD, SMALL, VERMILION, short

__all__ = ["predicted_against_actual", "residuals_against_predicted"]

Floats = NDArray[np.float64]

_HIGH = 2.7  # inches
_MOST_DOTS = 1000  # above it dots hide each other: squares are coloured by how many they hold
_SQUARES = 62  # across a side: 5 pixels each
_EQUAL = (("equal", BLACK, "--"),)
_QUANTILES = (("median, 10 %, 90 %", VERMILION, "-"),)
_BINS = 10  # of the running quantiles
_FEWEST = 5  # samples of a bin


def predicted_against_actual(
    predictions: ArrayLike, targets: ArrayLike, name: str, title: str = ""
) -> Figure:
    """Predictions (N,) above the actual values (N,), both finite, with the line on which they are equal.

    Both axes have the same range. name: of the target, with its unit if it has one.
    """
    predicted, actual = (np.asarray(values, dtype=np.float64) for values in (predictions, targets))
    ends = _range(np.concatenate([predicted, actual]))
    sheet = _sheet(_HIGH, _heading(predicted, actual, name, title), ends, ends)
    _points(sheet, actual, predicted)
    sheet.line(ends, ends, BLACK, 1.0, "--")
    _axes(sheet, f"actual {short(name)}", f"predicted {short(name)}")
    sheet.legend(_EQUAL)
    return sheet.picture


def residuals_against_predicted(
    predictions: ArrayLike, targets: ArrayLike, name: str, title: str = ""
) -> Figure:
    """Residuals, actual - predicted, above the predictions, both (N,) and finite.

    The line is the median of the residuals, the thin ones their 10 % and 90 % points, in up to 10 bins of equally many
    predictions: the median leaves 0 where the net is wrong in one direction, the band widens where it is less sure.
    """
    predicted, actual = (np.asarray(values, dtype=np.float64) for values in (predictions, targets))
    residuals = actual - predicted
    heading = _heading(predicted, actual, name, title)
    sheet = _sheet(0.75 * _HIGH, heading, _range(predicted), _range(np.append(residuals, 0.0)))
    _points(sheet, predicted, residuals)
    sheet.line(sheet.x, (0, 0), BLACK, 1.0, "--")
    centres, (low, middle, high) = _running_quantiles(predicted, residuals)
    for quantile, width in ((low, 0.9), (middle, 1.8), (high, 0.9)) if len(centres) else ():
        sheet.line(centres, quantile, VERMILION, width)
    _axes(sheet, f"predicted {short(name)}", "actual - predicted")
    sheet.legend(_QUANTILES)
    return sheet.picture


def _heading(predicted: Floats, actual: Floats, name: str, title: str) -> str:
    start = f"{short(title or name, 30)}: "
    if not len(actual):
        return f"{start}n = 0"
    found = evaluate_regression(predicted[:, None], actual[:, None], [name], intervals=False).values
    return f"{start}R2 {number(found['r2'].value)}, n = {count(len(actual))}"


def _range(values: Floats) -> Span:
    """A little more than the values take; never empty."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    more = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return low - more, high + more


def _sheet(height: float, heading: str, x: Span, y: Span) -> Sheet:
    """Axes with room for their numbers."""
    margins = Margins(_room(y) + 0.25, 0.55 + legend_height(_EQUAL, CARD), 0.3)  # a legend of one line
    return Sheet(CARD - margins.left - margins.right, height, margins, heading, x, y)


def _ticks(ends: Span) -> list[float]:
    return [float(v) for v in MaxNLocator(5).tick_values(*ends) if ends[0] <= v <= ends[1]]


def _room(ends: Span) -> float:
    """Inches of the numbers at the left of an axis, with its ticks."""
    return max_width([f"{v:g}" for v in _ticks(ends)], SMALL) + 0.12


def _axes(sheet: Sheet, x: str, y: str) -> None:
    sheet.frame()
    sheet.ticks(_ticks(sheet.x), _ticks(sheet.y))
    sheet.axis_labels(x, y, (0.24, _room(sheet.y)))


def _points(sheet: Sheet, x: Floats, y: Floats) -> None:
    """Dots; of many points squares, darker by the root of how many they hold."""
    if len(x) <= _MOST_DOTS:
        sheet.dots(x, y, f"{BLUE}99", 0.02)
        return
    counts = np.histogram2d(x, y, _SQUARES, (sheet.x, sheet.y))[0].T[::-1]  # the first row is the upper one
    depth = np.where(counts > 0, 60 + 195 * np.sqrt(counts / counts.max()), 0)
    blues = mpl.colormaps["Blues"](np.arange(256), bytes=True)[:, :3]
    blues[0] = 255  # nothing there
    sheet.pixels(blues[depth.astype(np.int64)], (sheet.x[0], sheet.y[0]), (sheet.x[1], sheet.y[1]))


def _running_quantiles(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The middles (B,) of bins of equally many points, and the 10, 50 and 90 % points of y (3, B) in them."""
    order = np.argsort(x, kind="stable")
    bins = [part for part in np.array_split(order, min(_BINS, max(1, len(x) // _FEWEST))) if len(part)]
    centres = np.array([np.median(x[part]) for part in bins])
    quantiles = np.array([np.quantile(y[part], (0.1, 0.5, 0.9)) for part in bins]).reshape(-1, 3)
    return centres, quantiles.T
