"""Maps over what they explain: a picture, a spectrogram, a waveform, or the tokens of a text.

Red speaks for the scalar that is explained, blue against it (matplotlib's RdBu, distinguishable with any colour
blindness), on one scale for each map, which is symmetric about 0 and named. A map that did not pass its tests is grey.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from leyden.reporting.atlas.atlas import Heat
from leyden.reporting.explained_sample import ExplainedSample
from leyden.reporting.plots.style import GREY, PLAIN, SMALL, label, new_figure
from leyden.utils.errors import UserError

MOST = 40
_ACROSS = 2  # samples of a row
_TOKENS = 60  # of a text
_LETTERS = 70  # of a line of tokens
_LIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def attribution_figure(samples: Sequence[ExplainedSample]) -> Figure:
    """Plot each sample beside its map; texts have theirs behind the words.

    Raises:
        UserError: there are more than 40.
    """
    if len(samples) > MOST:
        raise UserError(f"--picture: draws at most {MOST} maps, not {len(samples)}; choose fewer, or --html")
    has_text = any(sample.heat.tokens for sample in samples)
    across = 1 if has_text else min(_ACROSS, len(samples))
    heights = [1.3 if sample.heat.tokens else 2.5 for sample in samples[::across]]
    figure = new_figure(9.0 if has_text else 4.6 * across, sum(heights))
    grid = figure.add_gridspec(len(heights), 2 * across, height_ratios=heights)
    for place, sample in enumerate(samples):
        row, column = place // across, 2 * (place % across)
        first = figure.add_subplot(grid[row, :] if sample.heat.tokens else grid[row, column])
        first.set_axis_off()
        _title(first, sample)
        if sample.heat.tokens:
            _tokens(first, sample)
        else:
            second = figure.add_subplot(grid[row, column + 1])
            second.set_axis_off()
            _media(first, sample)
            _map(second, sample)
    return figure


def _title(axes: Axes, sample: ExplainedSample) -> None:
    said = f"{sample.truth}, answered {sample.answer}" if sample.truth else f"answered {sample.answer}"
    letters = 90 if sample.heat.tokens else 34
    axes.set_title(f"{label(sample.name, letters)}\n{label(said, letters)}", fontsize=SMALL, loc="left")


def _media(axes: Axes, sample: ExplainedSample) -> None:
    """The sample as a person looks at it."""
    media = sample.media
    if media.mel is not None:
        axes.imshow(media.mel, cmap="magma", origin="lower", aspect="auto")
    elif media.picture is not None:
        shown = np.moveaxis(media.picture[:1] if len(media.picture) < 3 else media.picture[:3], 0, -1)
        axes.imshow(shown[..., 0] if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=255)
    else:
        curve = media.curve if media.curve is not None else media.wave
        axes.plot(np.zeros(1) if curve is None else curve, linewidth=0.5, color=GREY)


def _map(axes: Axes, sample: ExplainedSample) -> None:
    heat = sample.heat
    values = heat.values if heat.values.ndim == 2 else heat.values.reshape(1, -1)
    is_sound = sample.media.mel is not None
    shown = axes.imshow(
        values,
        cmap=_colours(heat),
        norm=_scale(heat),
        origin="lower" if is_sound else "upper",
        aspect="auto" if is_sound or heat.values.ndim == 1 else "equal",
        interpolation="nearest",
    )
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=SMALL)
    trust = "" if heat.passes is not False else "\nnot to be trusted"
    axes.set_title(f"{heat.method}\n{label(heat.scalar, 34)}{trust}", fontsize=SMALL, loc="left")


def _tokens(axes: Axes, sample: ExplainedSample) -> None:
    """The words, each on the colour of its value."""
    heat = sample.heat
    scale, colours = _scale(heat), mpl.colormaps[_colours(heat)]
    x, line = 0, 0
    for token, value in list(zip(heat.tokens, heat.values.tolist(), strict=False))[:_TOKENS]:
        if x and x + len(token) > _LETTERS:
            x, line = 0, line + 1
        colour = colours(scale(value))
        axes.text(
            *(0.008 + x / (_LETTERS + 8), 0.82 - 0.3 * line, label(token)),
            transform=axes.transAxes,
            fontsize=PLAIN,
            family="monospace",
            color="white" if np.dot(colour[:3], _LIGHTNESS) < 0.5 else "black",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )
        x += len(token) + 1
    trust = "" if heat.passes is not False else "; not to be trusted"
    axes.text(
        *(0.0, -0.12, f"{heat.method} of the {heat.scalar}, full colour = {scale.vmax:.2g}{trust}"),
        transform=axes.transAxes,
        fontsize=SMALL,
    )


def _colours(heat: Heat) -> str:
    return "Greys" if heat.passes is False else "RdBu_r"


def _scale(heat: Heat) -> Normalize:
    """From -top to top; of a grey map from 0."""
    top = float(np.abs(heat.values).max(initial=0.0)) or 1.0
    return Normalize(0.0 if heat.passes is False else -top, top, clip=True)
