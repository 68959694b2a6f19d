"""A batch as most batches are, to measure what one costs."""

import numpy as np
from numpy.typing import NDArray

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule


def median_length_batch(data: DataModule, samples: int) -> Batch:
    """Training samples of about the median length, as one batch, unaugmented; repeated where there are too few."""
    rows = data.splits.train
    if data.lengths is not None:
        first = max(0, (len(rows) - samples) // 2)
        last = min(first + samples, len(rows)) - 1
        rows = rows[np.argpartition(data.lengths[rows], (first, last))][first : last + 1]
    chosen: NDArray[np.int64] = np.resize(rows, samples)
    return data.batch_of(chosen)
