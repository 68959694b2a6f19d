"""What the figures share: matplotlib `Figure`s on the Agg canvas, colours, and names of bearable length.

No pyplot: it keeps every figure alive in global state, which leaks in a run that draws each epoch. The
colours are Okabe and Ito's, which people with any colour blindness tell apart; maps are Blues and viridis.
"""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#AAAAAA"
DOTS_PER_INCH = 100


def blank(width: float, height: float) -> Figure:
    """An empty figure, in inches; its layout makes room for labels, so that none is clipped."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def short(name: str, most: int = 24) -> str:
    """A long name with its middle left out: its ends tell classes and files apart. "$" starts no formula."""
    kept = most // 2 - 1
    cut = name if len(name) <= most else f"{name[:kept]}...{name[-kept:]}"
    return cut.replace("$", r"\$")
