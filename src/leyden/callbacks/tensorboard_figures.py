"""Matplotlib's figures in TensorBoard."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import Summary

from leyden.data import preview
from leyden.reporting.plots.fast_figure import png
from leyden.reporting.plots.samples import samples_figure, spectrogram_grid

SECONDS = 10  # of a recording, from its beginning, that are drawn and can be played


def write_figure(writer: Any, tag: str, figure: Figure, step: int) -> None:
    """Write a figure; faster than `SummaryWriter.add_figure`, which spends most of its time on compression."""
    stored, width, height = png(figure)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=stored)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def sounds_figure(
    waves: Sequence[NDArray[Any]],
    captions: Sequence[str],
    title: str,
    rate: int,
    words: Sequence[Sequence[tuple[float, str]]] = (),
) -> Figure:
    """Log-mel spectrograms of recordings (n,) at `rate` Hz, with (second, word) on each; waves at too low a rate."""
    mels = preview.spectrograms(waves, rate)
    if mels is None:
        return samples_figure(waves, captions, title, rate)
    return spectrogram_grid(mels, max(map(len, waves)) / rate, captions, title, words)
