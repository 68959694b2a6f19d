"""Maps against a known truth: whether they point into it, how much of their mass lies in it; a method's verdict.

The null of the pointing game is not the truth's area: a map of an untrained net points at whatever sticks out, in a
third of pictures with clutter at the planted patch. A method is therefore measured on an untrained net, too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Inside = NDArray[np.bool_]

POINTING = 0.9  # share of rows in which a method must point into the truth
ADVANTAGE = 0.45  # by which that share must exceed the untrained net's


def points_inside(values: Map, inside: Inside) -> bool:
    """Whether the highest number of a map (*units,) lies inside; never of a map without a number above 0.

    Of several highest ones, which coarse maps have, more than half must.
    """
    highest = values.max()
    return bool(highest > 0 and inside[values == highest].mean() > 0.5)


def mass_inside(values: Map, inside: Inside) -> float:
    """Share of the positive attribution that lies inside; 0 of a map without any."""
    positive = np.clip(values, 0, None).astype(np.float64)
    total = float(positive.sum())
    return float(positive[inside].sum()) / total if total > 0 else 0.0


def verdict(pointing: float, untrained: float) -> str:
    """Why a method is not to be trusted, in words; "" where it is.

    Args:
        pointing: share of rows in which the trained net's map points into the truth.
        untrained: the same of the untrained net.
    """
    if pointing < POINTING:
        return f"it points at the planted signal in {pointing:.2f} of rows, expected is {POINTING:.2f}"
    if pointing - untrained < ADVANTAGE:
        return (
            f"its pointing of {pointing:.2f} is only {pointing - untrained:.2f} above the untrained net's, "
            f"expected is {ADVANTAGE:.2f}"
        )
    return ""


def shares(maps: Sequence[Map], inside: Sequence[Inside]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Pointing (B,) and mass (B,) of maps."""
    pairs = list(zip(maps, inside, strict=True))
    return np.array([points_inside(*p) for p in pairs], bool), np.array([mass_inside(*p) for p in pairs])
