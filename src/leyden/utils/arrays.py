"""Small helpers on NumPy arrays."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def evenly(values: NDArray[Scalar], most: int) -> NDArray[Scalar]:
    """At most `most` of values (n,), evenly spaced, the first and the last among them.

    >>> evenly(np.arange(10), 4).tolist(), evenly(np.arange(3), 4).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return values[np.linspace(0, len(values) - 1, min(len(values), most)).astype(np.int64)]
