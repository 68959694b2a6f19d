"""Maps averaged by class: what the answers of a class rest on in general, where inputs are alike enough to be laid
over each other.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES = 64  # to which the time of recordings is stretched
TOKENS = 20  # of a class

Map = NDArray[np.float32]


class TokenMean(NamedTuple):
    """A token, the mean of its values, and how often it occurs."""

    token: str
    mean: float
    occurrences: int


def mean_maps(maps: Sequence[Map], names: Sequence[str], stretches: bool = False) -> dict[str, Map]:
    """The mean map of each class.

    Args:
        maps: (height, width) of pictures of one size, or (bands, frames) or (units,) of recordings.
        names: of the class that each is of.
        stretches: whether the last axis is time, which is stretched to 64 frames; sums are kept.

    Returns:
        by class, in the order of `names`; {} where maps differ in shape.
    """
    shaped = [_stretched(values) for values in maps] if stretches else list(maps)
    if len({values.shape for values in shaped}) != 1:
        return {}
    by_class: Mapping[str, list[Map]] = defaultdict(list)
    for name, values in zip(names, shaped, strict=True):
        by_class[name].append(values)
    return {
        name: np.stack(own).astype(np.float64).mean(0).astype(np.float32) for name, own in by_class.items()
    }


def _stretched(values: Map) -> Map:
    """(..., n) as (..., 64): each of the new frames has the share of the old ones that it covers."""
    ends = np.linspace(0, values.shape[-1], FRAMES + 1)
    total = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, -1, dtype=np.float64)], -1)
    whole = np.minimum(ends.astype(np.int64), values.shape[-1] - 1)
    at = total[..., whole] + (ends - whole) * (total[..., whole + 1] - total[..., whole])
    return np.diff(at, axis=-1).astype(np.float32)


def mean_tokens(
    maps: Sequence[Map],
    tokens: Sequence[Sequence[str]],
    names: Sequence[str],
    least: int = 2,
    most: int = TOKENS,
) -> dict[str, list[TokenMean]]:
    """The tokens that speak most for each class, by the mean of their values over its texts.

    Args:
        maps: (tokens,) of each text.
        tokens: of each text.
        names: of the class that each is of.
        least: how often a token must occur.
        most: how many are named.

    Returns:
        by class, in the order of `names`; the highest mean first.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for values, own, name in zip(maps, tokens, names, strict=True):
        of_class = found.setdefault(name, defaultdict(list))
        for token, value in zip(own, values.tolist(), strict=True):
            of_class[token].append(value)
    return {name: _ranked(of_class, least)[:most] for name, of_class in found.items()}


def _ranked(values: Mapping[str, Sequence[float]], least: int) -> list[TokenMean]:
    means = [
        TokenMean(token, float(np.mean(own)), len(own)) for token, own in values.items() if len(own) >= least
    ]
    return sorted(means, key=lambda each: (-each.mean, each.token))
