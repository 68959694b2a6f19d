"""What the pictures share: colours, sizes, names of bearable length, and figures for matplotlib's own axes.

No pyplot: it keeps every figure alive in global state, which leaks in a process that trains many runs. The
colours are Okabe and Ito's, which people with any colour blindness tell apart; maps are Blues and viridis.
"""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#AAAAAA"
DOTS_PER_INCH = 100
SMALL, PLAIN, LARGE = 8, 9, 10  # points


def laid_out(width: float, height: float) -> Figure:
    """An empty figure, in inches, in which matplotlib makes room for whatever labels it gets."""
    figure = Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    )
    FigureCanvasAgg(figure)
    return figure


def name_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Say what the axes are."""
    axes.set_xlabel(x, fontsize=PLAIN)
    axes.set_ylabel(y, fontsize=PLAIN)
    axes.tick_params(labelsize=SMALL)


def short(name: str, most: int = 24) -> str:
    """A long name with its middle left out: its ends tell classes and files apart."""
    kept = most // 2 - 1
    return name if len(name) <= most else f"{name[:kept]}...{name[-kept:]}"


def label(name: str, most: int = 24) -> str:
    """A name for matplotlib's own labels, to which a "$" would start a formula; shortened."""
    return short(name, most).replace("$", r"\$")
