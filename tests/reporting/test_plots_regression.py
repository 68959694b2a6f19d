"""Figures of a regression: what they show, read back from their sheets."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import r2_score

from leyden.reporting.plots.fast_figure import Lines, Pixels
from leyden.reporting.plots.regression import predicted_against_actual, residuals_against_predicted
from leyden.reporting.plots.style import VERMILION
from sheets import heights, render, sheet_of, texts_of


def sample(n: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    actual = scale * rng.normal(size=n)
    return 0.8 * actual + 0.3 * scale * rng.normal(size=n), actual


def dots(figure: Figure) -> np.ndarray:
    """The middles (n, 2) of the dots."""
    mark = next(m for m in sheet_of(figure).marks if hasattr(m, "outlines"))
    return np.array([(o.min(0) + o.max(0)) / 2 for o in mark.outlines])


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_predictions_above_actual_values(scale: float) -> None:
    p, y = sample(200, scale)
    figure = render(predicted_against_actual(p, y, "price ($)", "test"))
    np.testing.assert_allclose(dots(figure), np.column_stack((y, p)), atol=1e-9 * scale)
    sheet = sheet_of(figure)
    assert sheet.x == sheet.y
    (identity,) = (m for m in sheet.marks if isinstance(m, Lines) and m.dashes == "--" and m.offset == (0, 0))
    np.testing.assert_array_equal(identity.strokes[0], np.column_stack((sheet.x, sheet.y)))
    assert texts_of(figure)[0].text == f"test: R2 {r2_score(y, p):.4f}, n = 200"


def test_many_points_are_counted_in_squares() -> None:
    p, y = sample(5000)
    figure = render(predicted_against_actual(p, y, "t"))
    assert all(len(group) < 10 for group in heights(figure))  # no dots
    (squares,) = (m for m in sheet_of(figure).marks if isinstance(m, Pixels))
    counts = np.histogram2d(y, p, 62, (sheet_of(figure).x, sheet_of(figure).y))[0]
    white = (squares.pixels == 255).all(-1)
    np.testing.assert_array_equal(white[::-1].T, counts == 0)  # the first row is the upper one
    darkest = np.unravel_index(squares.pixels.sum(-1).argmin(), white.shape)
    assert counts[darkest[1], 61 - darkest[0]] == counts.max()


def test_residuals_with_their_running_quantiles() -> None:
    p, y = sample(400)
    figure = render(residuals_against_predicted(p, y, "t"))
    np.testing.assert_allclose(dots(figure), np.column_stack((p, y - p)), atol=1e-9)
    lines = [
        m
        for m in sheet_of(figure).marks
        if isinstance(m, Lines) and m.colour == VERMILION and m.offset == (0, 0)
    ]
    low, middle, high = (m.strokes[0] for m in lines)
    first = np.argsort(p)[:40]
    expected = np.quantile((y - p)[first], (0.1, 0.5, 0.9))
    assert [curve[0, 1] for curve in (low, middle, high)] == pytest.approx(expected.tolist())
    assert len(middle) == 10


@pytest.mark.parametrize("plot", [predicted_against_actual, residuals_against_predicted])
def test_edges(plot: object) -> None:
    assert callable(plot)
    for p, y in (([], []), ([1.0], [2.0]), ([3.0] * 20, [3.0] * 20), ([0.0, 0.0], [0.0, 0.0])):
        figure = render(plot(p, y, "a target of a rather long name in its unit (kg)"))
        assert texts_of(figure)[0].text.endswith(f"n = {len(p)}")
