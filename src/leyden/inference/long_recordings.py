"""Transcripts of long recordings: read in stretches, so that memory does not grow with them.

Each stretch is read with some seconds before and after it, of which the net's outputs are not kept.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LONG = 60.0  # seconds; what is shorter is read whole
STRETCH = 30.0
MARGIN = 3.0

Read = Callable[
    [NDArray[Any]], NDArray[np.float64]
]  # samples (n,) -> outputs (T', C), NaN after the last frame


class Stretch(NamedTuple):
    """Samples that are read, [first, end), and those whose outputs are kept, [begin, stop)."""

    first: int
    end: int
    begin: int
    stop: int


def stretches(samples: int, rate: int) -> Iterator[Stretch]:
    """A recording of so many samples, a second of them `rate`; the last stretch may be half as long again."""
    size, margin = round(STRETCH * rate), round(MARGIN * rate)
    count = round(samples / size) if samples > LONG * rate else 1
    for place in range(count):
        begin = place * size
        stop = begin + size if place < count - 1 else samples
        yield Stretch(max(0, begin - margin), min(samples, stop + margin), begin, stop)


def outputs_in_stretches(waves: Sequence[NDArray[Any]], rate: int, read: Read) -> NDArray[np.float64]:
    """(N, T', C) of recordings at `rate` Hz, one after the other, NaN after the last frame of each."""
    found = [np.concatenate(list(_kept(wave, rate, read))) for wave in waves]
    outputs = np.full((len(found), max(map(len, found)), found[0].shape[1]), np.nan)
    for row, frames in zip(outputs, found, strict=True):
        row[: len(frames)] = frames
    return outputs


def _kept(wave: NDArray[Any], rate: int, read: Read) -> Iterator[NDArray[np.float64]]:
    """Outputs (n, C) of each stretch."""
    for first, end, begin, stop in stretches(len(wave), rate):
        outputs = read(wave[first:end])
        frames = outputs[np.isfinite(outputs[:, 0])]
        centres = first + (np.arange(len(frames)) + 0.5) * (end - first) / len(frames)
        yield frames[(begin <= centres) & (centres < stop)]
