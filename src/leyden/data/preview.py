"""Samples of a data set as a person would look at them: pixels, waveforms, the beginnings of texts."""

import numpy as np

from leyden.data.datamodule import DataModule

_TEXT_SHOWN = 300  # characters of a text


def drawings(data: DataModule, rows: np.ndarray) -> list[np.ndarray]:
    """Pictures uint8 (C, H, W) or curves (n,) of rows (n,) of the table; texts have `text`."""
    values, lengths = data.table.inputs.gather(rows)
    cut = [v if lengths is None else v[: int(lengths[i])] for i, v in enumerate(values)]
    return [data.modality.drawing(v.numpy()) for v in cut]


def text(data: DataModule, row: int) -> str:
    """The text of a row, cut to what can be read at a glance."""
    whole = bytes(data.table.inputs.row(row)).decode("utf-8")
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
