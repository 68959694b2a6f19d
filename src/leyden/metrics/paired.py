"""Two classifiers on the same samples: McNemar's exact test, and the difference of their error rates.

Both rest on the samples on which exactly one of them is wrong.
"""

import math

from scipy.special import bdtr

from leyden.metrics.intervals import Z
from leyden.metrics.results import Estimate


def mcnemar(first: int, second: int) -> float:
    """Two-sided p-value of the exact (binomial) test (McNemar 1947).

    Args:
        first: samples on which only the first is wrong.
        second: samples on which only the second is wrong.

    >>> mcnemar(0, 0), mcnemar(1, 7)
    (1.0, 0.0703125)
    """
    return min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5)))


def error_difference(first: int, second: int, n: int) -> Estimate:
    """Error rate of the second less that of the first, with the 95 % interval of Bonett and Price (2012).

    A Wald interval with one sample more on each side, which keeps its level for few samples and for rates near 0
    (Fagerland, Lydersen and Laake 2014).

    Args:
        first: samples on which only the first is wrong.
        second: samples on which only the second is wrong.
        n: all samples.
    """
    p, q = (first + 1) / (n + 2), (second + 1) / (n + 2)
    half = Z * math.sqrt((p + q - (q - p) ** 2) / (n + 2))
    return Estimate((second - first) / n, max(-1.0, q - p - half), min(1.0, q - p + half), "Bonett and Price")
