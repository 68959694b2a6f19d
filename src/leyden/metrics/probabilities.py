"""From scores to probabilities. NumPy, in float64."""

import numpy as np
from numpy.typing import NDArray


def log_softmax(scores: NDArray[np.float64], axis: int = 1) -> NDArray[np.float64]:
    """Log probabilities, of the shape of the scores; `axis` is that of the classes.

    The largest score is taken off first: exp of what is left lies in (0, 1] and does not overflow.
    """
    # log p_k = z_k - max z - log sum_j exp(z_j - max z)
    shifted = scores - scores.max(axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis, keepdims=True)))
