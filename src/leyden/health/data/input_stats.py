"""Statistics of every input of the splits, collected in one pass by the checks of their modality."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class InputStats:
    """Statistics of n rows of the table.

    Args:
        rows: int64 (n,): train, val and test, in this order.
        levels: float32 (n, k): of images each channel's mean and standard deviation (0 to 255), of recordings the
            level in dB of full scale; k = 0 where there is no such number.
        features: float32 (n, d), coarse features for the two-sample test between splits; d = 0: there are none.
        constant: bool (n,), an input without information: an image of one colour, a silent recording, a text without
            a known token.
    """

    rows: np.ndarray
    levels: np.ndarray
    features: np.ndarray
    constant: np.ndarray

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Indices (m,) of rows (m,) of the table in these statistics."""
        order = np.argsort(self.rows)
        return order[np.searchsorted(self.rows, rows, sorter=order)]
