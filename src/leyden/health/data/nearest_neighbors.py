"""Nearest neighbours by a descriptor, exactly and in blocks: the candidates that a closer look then verifies."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from leyden.utils.parallel import parallel_map

CANDIDATES = 8  # keys that are looked at for each query
_BLOCK = 512  # queries at a time
_KEYS = 16384  # keys at a time: bounds memory at 32 MB


class Pairs(NamedTuple):
    """Near duplicates: places of queries and of keys, int64 (n,), and how far they are apart, float (n,)."""

    query: np.ndarray
    key: np.ndarray
    distance: np.ndarray

    @classmethod
    def none(cls) -> "Pairs":
        """No pair."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def unit(x: Tensor) -> Tensor:
    """Rows (n, d) of length one; a row of zeros stays."""
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def candidates(queries: Tensor, keys: Tensor, most: int = CANDIDATES, apart: Tensor | None = None) -> Tensor:
    """Keys with the greatest inner product, int64 (n, k), the nearest first; k is `most` or all there are.

    Args:
        queries: (n, d).
        keys: (m, d).
        most: how many for each query.
        apart: int64 (n,), a key that is the query itself and is left out; none: queries are no keys.
    """
    most = min(most, len(keys) - (apart is not None))

    def block(start: int) -> Tensor:
        own = None if apart is None else apart[start : start + _BLOCK]
        return _of_block(queries[start : start + _BLOCK], keys, most, own)

    found = list(parallel_map(block, range(0, len(queries), _BLOCK), "looking for near duplicates", 1))
    return torch.cat(found) if found else torch.zeros(0, most, dtype=torch.int64)


def _of_block(queries: Tensor, keys: Tensor, most: int, own: Tensor | None) -> Tensor:
    """As `candidates`, of a few queries: the best of the best of each block of keys."""
    values, places = [], []
    for start in range(0, len(keys), _KEYS):
        near = queries @ keys[start : start + _KEYS].T
        if own is not None:
            inside = (own >= start) & (own < start + near.shape[1])
            near[inside, own[inside] - start] = -torch.inf
        value, place = near.topk(min(most, near.shape[1]), dim=1)
        values.append(value)
        places.append(place + start)
    best = torch.cat(values, 1).topk(most, dim=1).indices
    return torch.cat(places, 1).gather(1, best)
