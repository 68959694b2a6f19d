"""Rows that CTC cannot learn: a transcript of L units, R of them repeats, needs L + R frames after the subsampling.

Found before the first step: a single one makes the loss of its batch infinite.
"""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray

from leyden.data.datamodule import DataModule
from leyden.data.index import Index
from leyden.data.transcripts import needed_frames
from leyden.utils.errors import UserError
from leyden.utils.text import and_more, plural

SHOWN = 5  # recordings in a message
Integers = NDArray[np.int64]


def leave_out_impossible(module: LightningModule, data: DataModule) -> bool:
    """Leave out rows whose transcript no path over the net's frames can spell; whether there are any.

    Raises:
        UserError: data.on_bad is not skip, or no training row would be left; or a net that answers frames has a module
            that does not know of them.
    """
    fewest: Any = getattr(module, "fewest_frames", None)
    if fewest is None:
        net = getattr(module, "net", None)
        if hasattr(net, "output_lengths"):
            raise UserError(
                f"model.net: {type(net).__name__} answers each frame of a recording, which task=ctc is for: choose "
                "task=ctc, or another model"
            )
        return False
    if data.lengths is None:
        return False
    needed = needed_frames(data.table.index.targets)
    there = fewest(torch.from_numpy(np.asarray(data.lengths, dtype=np.int64))).numpy()
    used = np.sort(np.concatenate(data.splits))
    rows = used[there[used] < needed[used]]
    if not len(rows):
        return False
    message = _message(data.table.index, rows, needed, there)
    if data.reading.on_bad == "stop":
        raise UserError(
            f"{message}; leave them out with data.on_bad=skip, or subsample less (fewer model.net.widths)"
        )
    if np.isin(data.splits.train, rows).all() and len(data.splits.train):
        raise UserError(f"{message}; no training row is left")
    data.leave_out(rows, f"left out {message} (data.on_bad=skip)")
    return True


def _message(index: Index, rows: Integers, needed: Integers, there: Integers) -> str:
    names = [
        f"{index.names[row]} (needs {needed[row]} frames, has {there[row]})" for row in rows[:SHOWN].tolist()
    ]
    return (
        f"{plural(len(rows), 'transcript')} too long for the frames that the net's subsampling leaves: "
        f"{and_more(names, SHOWN, len(rows))}"
    )
