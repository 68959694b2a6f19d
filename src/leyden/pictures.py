"""Samples of a data set as a person would look at them: images as a grid, clips as waveforms, texts as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leyden.data.datamodule import DataModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXT_SHOWN = 300  # characters of a text


def figure(data: DataModule, rows: np.ndarray, captions: Sequence[str], title: str) -> "Figure":
    """A matplotlib figure of images (from their pixels) or clips (their waveforms); texts have `table`.

    Args:
        data: the data layer, read.
        rows: int64 (n,) of its table.
        captions: n, under each sample.
        title: above all.
    """
    from leyden.reporting.grids import image_grid, waveform_grid

    if data.source.modality == "image":
        pictures = np.asarray(data.table.inputs.gather(rows))
        return image_grid(pictures, captions, title)
    padded, lengths = data.table.inputs.gather(rows)
    waves = [np.asarray(wave[:length]) for wave, length in zip(padded, lengths.tolist(), strict=True)]
    return waveform_grid(waves, data.spec.sample_rate, captions, title)


def table(data: DataModule, rows: np.ndarray, captions: Sequence[str]) -> str:
    """Texts as a Markdown table, the caption before each; arguments as for `figure`."""
    from leyden.reporting.markdown import table as markdown_table

    lines = zip(
        (caption.replace("\n", ", ") for caption in captions), (text(data, int(r)) for r in rows), strict=True
    )
    return markdown_table(("", "text"), lines)


def text(data: DataModule, row: int) -> str:
    """The text of a row, cut to what can be read at a glance."""
    whole = bytes(data.table.inputs.row(row)).decode("utf-8")  # type: ignore[union-attr]
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
