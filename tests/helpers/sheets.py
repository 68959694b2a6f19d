"""What a drawn figure shows, read back from its sheet."""

import io

import numpy as np
from matplotlib.figure import Figure

from leyden.reporting.plots.fast_figure import Areas, Sheet, Text


def sheet_of(figure: Figure) -> Sheet:
    (sheet,) = figure.artists
    assert isinstance(sheet, Sheet)
    return sheet


def texts_of(figure: Figure) -> list[Text]:
    return [mark for mark in sheet_of(figure).marks if isinstance(mark, Text)]


def render(figure: Figure) -> Figure:
    """Rendered, as TensorBoard would; no label may be clipped."""
    figure.savefig(io.BytesIO(), format="png")
    content, size = figure.get_tightbbox(), figure.get_size_inches()  # inches
    assert min(content.x0, content.y0) >= -0.01
    assert content.x1 <= size[0] + 0.01
    assert content.y1 <= size[1] + 0.01
    return figure


def heights(figure: Figure, axis: int = 1) -> list[np.ndarray]:
    """Of each group of bars; axis 0 for those that lie."""
    groups = [mark for mark in sheet_of(figure).marks if isinstance(mark, Areas)]
    return [np.array([np.ptp(outline[:, axis]) for outline in group.outlines]) for group in groups]
