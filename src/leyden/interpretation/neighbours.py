"""The nearest training rows of a sample, by the cosine of their features, and what their labels say of an error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 24  # similarities held at once: 64 MB


@dataclass(frozen=True)
class Neighbours:
    """The k nearest of N rows to each of M samples, the nearest first.

    Attributes:
        places: int64 (M, k), in the N rows.
        similarities: float32 (M, k), cosines of the features: 1 the same direction, 0 none in common.
    """

    places: NDArray[np.int64]
    similarities: NDArray[np.float32]

    def __len__(self) -> int:
        """How many samples."""
        return len(self.places)


def nearest(
    features: NDArray[np.float32],
    of: NDArray[np.float32],
    k: int = 5,
    own: NDArray[np.int64] | None = None,
) -> Neighbours:
    """The nearest rows, exactly: all cosines are computed, in blocks.

    Args:
        features: (N, D), of the rows among which is searched.
        of: (M, D), of the samples.
        k: how many; fewer where there are fewer rows.
        own: int64 (M,), the place of each sample in the N rows, which is not its own neighbour; None: none is there.
    """
    rows, samples = _unit(features), _unit(of)
    k = min(k, len(rows) - (own is not None))
    found = Neighbours(np.zeros((len(of), k), np.int64), np.zeros((len(of), k), np.float32))
    step = max(1, _BLOCK // max(1, len(rows)))
    for start in range(0, len(of) if k > 0 else 0, step):
        block = slice(start, start + step)
        cosines = samples[block] @ rows.T
        if own is not None:
            cosines[np.arange(len(cosines)), own[block]] = -np.inf
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(cosines, best, axis=1)
        order = np.lexsort((best, -values))
        found.places[block] = np.take_along_axis(best, order, axis=1)
        found.similarities[block] = np.take_along_axis(values, order, axis=1)
    return found


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; one of zeros, which has no direction, stays."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def diagnosis(targets: NDArray[np.int64], true: int, answered: int) -> str:
    """What the neighbours' classes say of an error, in words.

    Args:
        targets: int64 (k,), classes of the nearest training rows, the nearest first.
        true: class of the sample.
        answered: the class that was answered in its place.
    """
    if not len(targets):
        return "there are no training rows"
    words = {true: "its own label", answered: "the other label"}
    alike = int((targets == targets[0]).sum())
    label = words.get(int(targets[0]), "a third label")
    return f"the nearest training row has {label}, so have {alike} of the {len(targets)} nearest"
