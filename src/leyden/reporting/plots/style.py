"""Common style of the figures: colours, sizes, shortened names, and empty figures with matplotlib's axes.

pyplot is not used: it keeps every figure alive in global state, which leaks in a process that trains many runs. The
colours are those of Okabe and Ito, which are distinguishable with any colour blindness; maps are Blues and viridis.
"""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY, WHITE = "#CC79A7", "#56B4E9", "#000000", "#AAAAAA", "#FFFFFF"
DOTS_PER_INCH = 100
CARD = 3.5  # inches of a figure of every run: at 200 dots twice the 350 pixels at which TensorBoard shows it
SMALL, PLAIN, LARGE = 8, 9, 10  # points


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with constrained layout. width, height: inches."""
    figure = Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    )
    FigureCanvasAgg(figure)
    return figure


def name_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Set the axis labels."""
    axes.set_xlabel(x, fontsize=PLAIN)
    axes.set_ylabel(y, fontsize=PLAIN)
    axes.tick_params(labelsize=SMALL)


def short(name: str, most: int = 24) -> str:
    """Shorten a long name to at most `most` characters by omitting its middle."""
    kept = most // 2 - 1
    return name if len(name) <= most else f"{name[:kept]}...{name[-kept:]}"


def label(name: str, most: int = 24) -> str:
    """Shorten a name and escape "$", which would start a formula in matplotlib's labels."""
    return short(name, most).replace("$", r"\$")
