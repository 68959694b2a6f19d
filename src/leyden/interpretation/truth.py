"""Where the planted signal of a generated row is, as units of a view."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.config.validate import import_target
from leyden.data.datamodule import DataModule
from leyden.data.sources.synthetic import PlantedAudio, PlantedImages, PlantedText
from leyden.interpretation.sights import STRETCH
from leyden.interpretation.view import View
from leyden.utils.errors import UserError

Rows = NDArray[np.int64]
Units = NDArray[np.bool_]

_LOBE = 2  # half the width of a Hann window's main lobe, in periods of the window


def truth_of(data: DataModule, rows: Rows, view: View, frontend: Any = None) -> list[Units]:
    """The units of the planted signal of each row, bool (*units,); [] where none is known.

    Args:
        data: the rows are of.
        rows: (B,), of the view.
        view: of these rows.
        frontend: that made the view's features.

    Raises:
        UserError: a text is not divided into words.
    """
    inside = _kind(data)
    if inside is None:
        return []
    places = view.places.cpu().numpy()
    return [inside(data, int(row), there, frontend) & there for row, there in zip(rows, places, strict=True)]


def has_test(source: Mapping[str, Any]) -> bool:
    """Whether a source, as it is configured, knows where its signal is, and has what else a map could point at."""
    made = import_target(source["_target_"], "data.source")
    if not (isinstance(made, type) and issubclass(made, tuple(_KINDS))):
        return False
    clutter = inspect.signature(made).parameters.get("clutter")
    return clutter is None or bool(source.get("clutter", clutter.default))


def _kind(data: DataModule) -> Callable[[DataModule, int, Units, Any], Units] | None:
    return next((find for source, find in _KINDS.items() if isinstance(data.source, source)), None)


def _patch(data: DataModule, row: int, there: Units, frontend: Any) -> Units:
    """Pixels of the pattern."""
    top, left, height, width = _truth(data, row)
    inside = np.zeros_like(there)
    inside[top : top + height, left : left + width] = True
    return inside


def _words(data: DataModule, row: int, there: Units, frontend: Any) -> Units:
    """The token of the key word."""
    first, words = _truth(data, row)
    if int(there.sum()) != len(bytes(data.source.decode(row)).split()):
        raise UserError("planted_text: the place of a key word is known in words: choose data/tokenizer=word")
    inside = np.zeros_like(there)
    inside[first : first + words] = True
    return inside


def _burst(data: DataModule, row: int, there: Units, frontend: Any) -> Units:
    """Stretches of a waveform with the burst; of a spectrogram frames that see it, in the bands that hear its tone."""
    first, samples, frequency = _truth(data, row)
    rate = data.spec.sample_rate
    if there.ndim == 1:
        inside, step = np.zeros_like(there), max(1, round(STRETCH * rate))
        inside[first // step : -(-(first + samples) // step)] = True
        return inside
    half = frontend.window.shape[0] / 2  # frames are centred at multiples of the hop
    frames = np.arange(there.shape[1]) * frontend.hop
    seen = (frames > first - half) & (frames < first + samples + half)
    bins = np.arange(frontend.filters.shape[1]) / frontend.n_fft * rate  # Hz
    lobe = np.abs(bins - frequency) < _LOBE * rate / frontend.window.shape[0]
    heard = (frontend.filters.cpu().numpy()[:, lobe] > 0).any(1)
    return heard[:, None] & seen[None, :]


def _truth(data: DataModule, row: int) -> list[int]:
    truth = data.table.index.truth
    assert truth is not None
    found: list[int] = truth[row].tolist()
    return found


_KINDS: dict[type, Callable[[DataModule, int, Units, Any], Units]] = {
    PlantedImages: _patch,
    PlantedText: _words,
    PlantedAudio: _burst,
}
