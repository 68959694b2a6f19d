"""Near duplicates among texts: a word changed, missing or misspelt, or text added.

The similarity of two texts is the Jaccard similarity of their shingles, the runs of five bytes of the normalised text
(Broder 1997). Candidates are texts that agree in a band of their MinHashes; they are then compared by their shingles.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from leyden.health.data.nearest_neighbors import Pairs

SHINGLE = 5  # bytes
MIN_SIMILARITY = 0.6  # Jaccard similarity of near duplicates
SHORTEST = 30  # bytes of a normalised text: shorter ones are only compared exactly
_BANDS, _ROWS = 30, 3  # a pair of similarity .6 agrees in a band with probability .9993, one of .1 with .03
_PRIME = (1 << 31) - 1  # of the hash functions, a * x + b modulo it
_MANY = 16  # neighbours in a bucket that a text is compared with: templates make large buckets
_BLOCK = 1 << 18  # pairs compared at a time


def near(texts: Sequence[bytes], queries: np.ndarray, keys: np.ndarray) -> Pairs:
    """The most similar key of each query, where it is a near duplicate.

    Args:
        texts: N normalised texts.
        queries: int64 (n,), indices in `texts`.
        keys: int64 (m,), likewise; a query that is also a key is not compared with itself.
    """
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    of, shingles = _shingles(texts, lengths)
    if not len(of):
        return Pairs.none()
    long_enough = lengths >= SHORTEST
    left, right = _candidates(of, shingles, np.flatnonzero(long_enough), queries, keys)
    similarity = _jaccard(of, shingles, len(texts), left, right)
    is_duplicate = similarity > MIN_SIMILARITY
    left, right, similarity = left[is_duplicate], right[is_duplicate], similarity[is_duplicate]
    order = np.lexsort((-similarity, left))
    left, right, similarity = left[order], right[order], similarity[order]
    first = np.flatnonzero(np.r_[True, left[1:] != left[:-1]]) if len(left) else np.zeros(0, np.int64)
    place = np.full((2, len(texts)), -1)
    place[0, queries], place[1, keys] = np.arange(len(queries)), np.arange(len(keys))
    return Pairs(place[0, left[first]], place[1, right[first]], 1 - similarity[first])


def _shingles(texts: Sequence[bytes], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct shingles of every text: index of the text (s,) and 32-bit hash (s,), sorted by both."""
    values = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.uint64)
    if len(values) < SHINGLE:
        return np.zeros(0, np.int64), np.zeros(0, np.uint32)
    hashed = np.zeros(len(values) - SHINGLE + 1, dtype=np.uint64)
    for place in range(SHINGLE):
        hashed = hashed * np.uint64(256) + values[place : place + len(hashed)]
    hashed = (hashed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    of = np.repeat(np.arange(len(texts)), lengths)
    inside = of[: len(hashed)] == of[SHINGLE - 1 :]
    both = np.unique((of[: len(hashed)][inside].astype(np.uint64) << np.uint64(32)) | hashed[inside])
    return (both >> np.uint64(32)).astype(np.int64), (both & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _candidates(
    of: np.ndarray, shingles: np.ndarray, texts: np.ndarray, queries: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate pairs: indices (p,) of queries and (p,) of keys that agree in a band, each pair once."""
    texts = texts[np.isin(texts, of)]
    chosen = np.isin(of, texts)
    of, shingles = of[chosen], shingles[chosen]
    if not len(of):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    rng = np.random.default_rng(0)
    is_query, is_key = np.zeros((2, int(texts.max()) + 1), dtype=bool)
    is_query[queries[queries <= texts.max()]], is_key[keys[keys <= texts.max()]] = True, True
    found = []
    for _ in range(_BANDS):
        band = np.zeros(len(texts), dtype=np.uint64)
        for _ in range(_ROWS):
            a, b = rng.integers(1, _PRIME, 2)
            least = np.minimum.reduceat((shingles * a + b) % _PRIME, starts)
            band = band * np.uint64(_PRIME) + least.astype(np.uint64)
        shuffled = rng.permutation(len(texts))  # other neighbours within a large bucket in each band
        found.append(_pairs_in_band(band[shuffled], texts[shuffled], is_query, is_key))
    both = np.unique(np.concatenate(found))
    return (both >> np.uint64(32)).astype(np.int64), (both & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _pairs_in_band(
    band: np.ndarray, texts: np.ndarray, is_query: np.ndarray, is_key: np.ndarray
) -> np.ndarray:
    """Pairs uint64 (p,), query << 32 | key, of texts with the same hash of a band."""
    order = np.argsort(band, kind="stable")
    band, texts = band[order], texts[order]
    found = []
    for offset in range(1, min(_MANY + 1, len(texts))):
        same = np.flatnonzero(band[offset:] == band[:-offset])
        if not len(same):
            break
        one, other = texts[same], texts[same + offset]
        for query, key in ((one, other), (other, one)):
            is_pair = is_query[query] & is_key[key]
            found.append((query[is_pair].astype(np.uint64) << np.uint64(32)) | key[is_pair].astype(np.uint64))
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def _jaccard(
    of: np.ndarray, shingles: np.ndarray, count: int, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Jaccard similarity (p,) of the shingles of each pair."""
    names, column = np.unique(shingles, return_inverse=True)
    matrix = sparse.csr_array((np.ones(len(of), np.float32), (of, column)), shape=(count, len(names)))
    sizes = np.bincount(of, minlength=count)
    shared = np.zeros(len(left))
    for start in range(0, len(left), _BLOCK):
        some = slice(start, start + _BLOCK)
        shared[some] = matrix[left[some]].multiply(matrix[right[some]]).sum(axis=1)
    return shared / np.maximum(sizes[left] + sizes[right] - shared, 1)
