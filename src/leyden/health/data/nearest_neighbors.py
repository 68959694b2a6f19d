"""Exact nearest neighbours by descriptors, in blocks: candidates for near duplicates."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from leyden.utils.parallel import parallel_map

CANDIDATES = 8  # keys that are verified for each query
_BLOCK = 512  # queries at a time
_KEYS = 16384  # keys at a time: bounds memory at 32 MB


class Pairs(NamedTuple):
    """Near duplicates: indices of queries and of keys, int64 (n,), and their distances, float (n,)."""

    query: np.ndarray
    key: np.ndarray
    distance: np.ndarray

    @classmethod
    def none(cls) -> "Pairs":
        """Empty pairs."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def unit(x: Tensor) -> Tensor:
    """Rows (n, d) normalised to length one; zero rows stay zero."""
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def candidates(queries: Tensor, keys: Tensor, most: int = CANDIDATES, apart: Tensor | None = None) -> Tensor:
    """Indices int64 (n, k) of the keys with the largest inner product, the nearest first; k = min(most, keys).

    Args:
        queries: (n, d).
        keys: (m, d).
        most: number of candidates for each query.
        apart: int64 (n,), the key that is the query itself and is excluded, -1 for none; None: no query is a key.
    """
    most = min(most, len(keys) - (apart is not None))

    def block(start: int) -> Tensor:
        own = None if apart is None else apart[start : start + _BLOCK]
        return _block_candidates(queries[start : start + _BLOCK], keys, most, own)

    found = list(parallel_map(block, range(0, len(queries), _BLOCK), "searching for near duplicates", 1))
    return torch.cat(found) if found else torch.zeros(0, most, dtype=torch.int64)


def _block_candidates(queries: Tensor, keys: Tensor, most: int, own: Tensor | None) -> Tensor:
    """As `candidates` for a block of queries: the best of the best keys of each block of keys."""
    values, indices = [], []
    for start in range(0, len(keys), _KEYS):
        near = queries @ keys[start : start + _KEYS].T
        if own is not None:
            inside = (own >= start) & (own < start + near.shape[1])
            near[inside, own[inside] - start] = -torch.inf
        value, index = near.topk(min(most, near.shape[1]), dim=1)
        values.append(value)
        indices.append(index + start)
    best = torch.cat(values, 1).topk(most, dim=1).indices
    return torch.cat(indices, 1).gather(1, best)
