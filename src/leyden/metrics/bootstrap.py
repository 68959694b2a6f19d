"""The bootstrap over samples (Efron 1979): how often each sample is in each resample, with bounded work."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES, WORK = (25, 200), 200_000_000  # work: resamples * samples * classes (labels, targets)
AT_ONCE = 100_000  # weights that stay in a processor's cache


def resamples_for(cells: int) -> int:
    """How many resamples of `cells` = samples * classes are affordable: 200, for large splits down to 25."""
    return int(np.clip(WORK // cells, *RESAMPLES))


def sample_weights(n: int, times: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """`times` resamples of n samples in blocks (R, n): how often each sample is in each resample."""
    at_once = max(1, AT_ONCE // n)
    for first in range(0, times, at_once):
        block = min(at_once, times - first)
        drawn = rng.integers(0, n, (block, n)) + n * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * n).reshape(block, n).astype(np.uint8)
