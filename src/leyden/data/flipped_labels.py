"""Wrong labels made on purpose among the training rows, to measure what finds them; not in validation and test.

Which rows, and their new labels, are a function of the seed, the training rows and their labels alone.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leyden.data.targets import kind_of
from leyden.utils.errors import UserError

Flips = Literal["uniform", "pairs"]


def with_flips(
    targets: NDArray[Any], rows: NDArray[np.int64], classes: int, share: float, flips: Flips, seed: int
) -> NDArray[Any]:
    """A copy of the targets in which a share of some rows have a wrong label.

    Args:
        targets: int64 (N,), class indices.
        rows: int64 (n,), among which flips are made.
        classes: how many there are.
        share: of the rows, rounded to whole rows.
        flips: uniform: to any other class, equally likely; pairs: from class c to c + 1, from the last to the first.
        seed: of the choice.

    Raises:
        UserError: the targets are no classes, or there is only one.
    """
    if kind_of(targets) != "classes" or classes < 2:
        raise UserError(
            f"data.flipped_labels={share:g}: needs two classes or more of which each row has one: leave it out"
        )
    rng = np.random.default_rng([seed, classes])
    chosen = rng.permutation(rows)[: round(share * len(rows))]
    steps = rng.integers(1, classes, len(chosen)) if flips == "uniform" else 1
    found = targets.copy()
    found[chosen] = (targets[chosen] + steps) % classes
    return found
