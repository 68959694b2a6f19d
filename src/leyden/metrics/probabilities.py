"""From scores to probabilities. NumPy, in float64."""

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 2**20  # scores: what is computed of them fits into a processor's cache


def log_normalisers(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(largest score (N,), log of the sum of exp of what is above it (N,)) of scores (N, C).

    log p_k = (z_k - largest) - log sum; the samples are taken in blocks, so that nothing of the size N * C is made.
    """
    largest, log_sums = scores.max(1), np.empty(len(scores))
    block = max(1, _AT_ONCE // scores.shape[1])
    for first in range(0, len(scores), block):
        part = slice(first, first + block)
        log_sums[part] = np.log(np.exp(scores[part] - largest[part, None]).sum(1))
    return largest, log_sums


def most_probable(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(classes (N, most + 1), their probabilities), of (N, C): the most probable, in order, and last the true class."""
    classes = np.empty((len(labels), most + 1), dtype=np.int64)
    classes[:, -1] = labels
    block = max(1, _AT_ONCE // log_probabilities.shape[1])
    for first in range(0, len(labels), block):
        part = log_probabilities[first : first + block]
        found = np.sort(np.argpartition(part, -most, axis=1)[:, -most:], axis=1)
        falling = np.argsort(-np.take_along_axis(part, found, axis=1), axis=1, kind="stable")
        classes[first : first + block, :-1] = np.take_along_axis(found, falling, axis=1)
    largest, log_sums = log_normalisers(log_probabilities)
    chosen = np.take_along_axis(log_probabilities, classes, axis=1)
    return classes.astype(np.int32), np.exp((chosen - largest[:, None]) - log_sums[:, None]).astype(
        np.float32
    )


def log_softmax(scores: NDArray[np.float64], axis: int = 1) -> NDArray[np.float64]:
    """Log probabilities, of the shape of the scores; `axis` is that of the classes.

    The largest score is taken off first: exp of what is left lies in (0, 1] and does not overflow.
    """
    # log p_k = z_k - max z - log sum_j exp(z_j - max z)
    shifted = scores - scores.max(axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis, keepdims=True)))
