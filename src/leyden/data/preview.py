"""Samples of a data set as a person would look at them: pixels, waveforms, the beginnings of texts."""

import contextlib
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from leyden.data.batch import Input
from leyden.data.datamodule import DataModule
from leyden.data.joined import Joined
from leyden.data.transforms.audio import LogMel
from leyden.utils.errors import UserError

_MELS = (64, 32, 16)  # bands of a spectrogram: fewer where the sample rate is too low for them
_TEXT_SHOWN = 300  # characters of a text


def views(data: DataModule, rows: np.ndarray) -> Iterator[tuple[str, DataModule, np.ndarray, np.ndarray]]:
    """Yield what is seen of rows (n,) of the table, input by input; of one that none of them has nothing.

    Yields:
        (name, data, rows, places): of the input, its own data module, the rows (m,) in that, and which of `rows` these
        are, (m,). Of data with one input: "", the data themselves and all rows.
    """
    joined = data.table.inputs
    if not isinstance(joined, Joined):
        yield "", data, rows, np.arange(len(rows))
        return
    for name, part in data.parts.items():
        own = joined.places[name][rows]
        if len(there := np.flatnonzero(own >= 0)):
            yield name, part, own[there], there


def drawings(data: DataModule, rows: np.ndarray) -> list[np.ndarray]:
    """Pictures uint8 (C, H, W) or curves (n,) of rows (n,) of the table; texts have `text`."""
    values, lengths = data.table.inputs.gather(rows)
    cut = [v if lengths is None else v[: int(lengths[i])] for i, v in enumerate(values)]
    return [data.modality.drawing(v.numpy()) for v in cut]


def sounds(data: DataModule, rows: np.ndarray, seconds: float) -> list[np.ndarray]:
    """Recordings int16 (n,) of rows of the table, their first `seconds`."""
    values, lengths = data.table.inputs.gather(rows)
    assert lengths is not None
    ends = lengths.clamp(max=int(seconds * data.spec.sample_rate)).tolist()
    return [wave[:end].numpy() for wave, end in zip(values, ends, strict=True)]


def spectrograms(waves: Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray] | None:
    """Log-mel float32 (bands, frames) of recordings (n,), int16 or float; None: the rate is too low for any."""
    frontend = _log_mel(sample_rate)
    if frontend is None:
        return None
    inputs = [Input(torch.from_numpy(w.copy())[None], torch.tensor([len(w)])) for w in waves]
    return [frontend(given).values[0, 0].numpy() for given in inputs]


@functools.lru_cache(4)  # its filters take longer than a spectrogram
def _log_mel(sample_rate: int) -> LogMel | None:
    for bands in _MELS:
        with contextlib.suppress(UserError):
            return LogMel(sample_rate, bands, normalize="none")
    return None


def text(data: DataModule, row: int) -> str:
    """A row in words, cut to what can be read at a glance."""
    whole = data.modality.written(data.table.inputs.row(row), data.spec)
    return whole if len(whole) <= _TEXT_SHOWN else f"{whole[:_TEXT_SHOWN]}..."


def some_of_each_class(labels: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of `rows`, taken from the classes in turn: int64 (n,), by class.

    Args:
        labels: int64 (N,) of the whole table.
        rows: int64, where to choose from.
        most: how many in all.
    """
    order = rows[np.argsort(labels[rows], kind="stable")]
    own = labels[order]
    starts = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
    turn = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    chosen = np.argsort(turn, kind="stable")[:most]
    return order[np.sort(chosen)]
