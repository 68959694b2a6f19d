"""Embeddings of pairs -> retrieval in both directions and zero-shot accuracy, with 95 % intervals; NumPy only.

evaluate_pairs(embeddings, classes, ("image", "audio")).values["class_recall_at_1"]  # Estimate(value, low, ...)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from leyden.metrics.intervals import SHARE, Z, by_influence, number
from leyden.metrics.results import (
    RECALLED_AT,
    RETRIEVAL_METRICS,
    Estimate,
    RetrievalDirection,
    RetrievalMetrics,
)
from leyden.utils.text import plural

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DECIMALS = (
    5  # cosines that agree in these are the same: a row's embedding depends on its batch in the seventh
)
_SAME = 3  # decimals in which all coordinates of two embeddings agree: one input that stands in several rows
_AT_ONCE = 1 << 22  # cosines in memory


@dataclass(frozen=True)
class Ranking:
    """How each of N queries ranks a gallery of N, its own partner among them.

    Cosines that are equal are in random order: hits are probabilities, ranks means over that order. So embeddings that
    are all the same do not find everything first.

    Attributes:
        own: (N, K), whether the partner is among the k nearest, for each k of RECALLED_AT.
        same_class: (N, K), whether one of the k nearest has the query's class.
        rank: (N,), of the partner, from 1.
        nearest: int64 (N,), the place of the nearest, of several the first.
    """

    own: Floats
    same_class: Floats
    rank: Floats
    nearest: Integers


def rank(queries: Floats, gallery: Floats, classes: Integers) -> Ranking:
    """Rank a gallery (N, D) for queries (N, D) of unit length by cosine; i belongs to i, of class (N,)."""
    block = max(1, _AT_ONCE // max(1, len(gallery)))
    parts = [
        _ranked(np.arange(first, min(first + block, len(queries))), queries, gallery, classes)
        for first in range(0, len(queries), block)
    ]
    return Ranking(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _ranked(
    rows: Integers, queries: Floats, gallery: Floats, classes: Integers
) -> tuple[Floats, Floats, Floats, Integers]:
    cosines = np.round(queries[rows] @ gallery.T, _DECIMALS)
    partner = cosines[np.arange(len(rows)), rows][:, None]
    nearer, tied = (cosines > partner).sum(1), (cosines == partner).sum(1)
    is_same = classes[rows][:, None] == classes
    own, same = [], []
    for k in RECALLED_AT:
        own.append(np.clip((k - nearer) / tied, 0, 1))
        same.append(_any_of(cosines, is_same, min(k, len(gallery))))
    return np.stack(own, 1), np.stack(same, 1), nearer + (tied + 1) / 2, cosines.argmax(1)


def _any_of(cosines: Floats, is_same: NDArray[np.bool_], k: int) -> Floats:
    """The probability (B,) that one of the k nearest is of the class, ties with the k-th in random order."""
    least = np.partition(cosines, -k, axis=1)[:, -k, None]
    above, level = cosines > least, cosines == least
    tied, good, places = level.sum(1), (level & is_same).sum(1), k - above.sum(1)
    missed = np.where((above & is_same).any(1), 0.0, 1.0)
    for drawn in range(k):  # without replacement: the next of those tied is of another class
        left = np.maximum(tied - drawn, 1)
        missed *= np.where(drawn < places, np.maximum(tied - good - drawn, 0) / left, 1.0)
    return 1 - missed


def evaluate_pairs(
    embeddings: Floats,
    classes: Integers,
    names: tuple[str, str],
    *,
    has_classes: bool = True,
    zero_shot: NDArray[np.integer] | None = None,
    groups: Sequence[str] | None = None,
    intervals: bool = True,
) -> RetrievalMetrics:
    """Every metric of one split.

    recall_at_k: share of queries whose own partner is among the k nearest of the other input's rows of the split.
    class_recall_at_k: share for which one of the k nearest has the query's class; its partner is among them, too.
    median_rank: of the partner, from 1. zero_shot_accuracy: share of the inputs that are there whose class is predicted
    rightly by that input alone. All depend on the size of the split but the last, and are over the pairs in it.

    Intervals are over queries, the gallery being what it is. Rows that share an input, so that their queries are the
    same, or a group, count as one: between such rows nothing is independent.

    Args:
        embeddings: (N, 2, D) of unit length, zeros where an input is absent.
        classes: (N,).
        names: of the two inputs.
        has_classes: whether rows differ in class; what is of classes is undefined where they do not.
        zero_shot: (N, 2), the class that each input predicts; None: not known.
        groups: of each row, such as speakers; None: not known.
        intervals: whether to compute them.
    """
    there = np.asarray(embeddings.any(axis=2))
    pairs = np.flatnonzero(there.all(axis=1))
    clusters = independent_parts(embeddings, groups) if intervals else None
    found = [
        _Queries.of(embeddings, classes if has_classes else None, zero_shot, there, way, pairs)
        for way in (0, 1)
    ]
    return RetrievalMetrics(
        len(pairs),
        _estimates(found, clusters),
        [
            RetrievalDirection(names[way], names[1 - way], len(pairs), _estimates([found[way]], clusters))
            for way in (0, 1)
        ],
    )


@dataclass(frozen=True)
class _Queries:
    """Hits (n, K) by the names of the metrics and ranks (n,), with the rows (n,) that they are of."""

    hits: dict[str, tuple[Floats, Integers]]
    ranks: tuple[Floats, Integers]

    @classmethod
    def of(
        cls,
        embeddings: Floats,
        classes: Integers | None,
        zero_shot: NDArray[np.integer] | None,
        there: NDArray[np.bool_],
        way: int,
        pairs: Integers,
    ) -> "_Queries":
        """Of the queries of input `way`."""
        hits: dict[str, tuple[Floats, Integers]] = {}
        ranks = np.zeros(0)
        if len(pairs):
            own = pairs if classes is None else classes[pairs]
            found = rank(embeddings[pairs, way], embeddings[pairs, 1 - way], own)
            for place, k in enumerate(RECALLED_AT):
                hits[f"recall_at_{k}"] = found.own[:, place], pairs
                if classes is not None:
                    hits[f"class_recall_at_{k}"] = found.same_class[:, place], pairs
            ranks = found.rank
        rows = np.flatnonzero(there[:, way])
        if classes is not None and zero_shot is not None and len(rows):
            hits["zero_shot_accuracy"] = (zero_shot[rows, way] == classes[rows]).astype(np.float64), rows
        return cls(hits, (ranks, pairs))


def independent_parts(embeddings: Floats, groups: Sequence[str] | None = None) -> Integers:
    """int64 (N,): the same number for rows that share an input, or a group, directly or through others."""
    n = len(embeddings)
    links = [np.asarray(groups)] if groups is not None and len(set(groups)) > 1 else []
    edges = [_neighbours(np.unique(labels, return_inverse=True)[1], np.arange(n)) for labels in links]
    for way in (0, 1):
        rows = np.flatnonzero(embeddings[:, way].any(axis=1))
        same = np.unique(np.round(embeddings[rows, way], _SAME), axis=0, return_inverse=True)[1]
        edges.append(_neighbours(same.reshape(-1), rows))
    ends = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _neighbours(labels: Integers, rows: Integers) -> Integers:
    """(2, m) edges that join rows (n,) of equal labels (n,)."""
    order = np.argsort(labels, kind="stable")
    joined = labels[order][1:] == labels[order][:-1]
    return np.stack([rows[order][:-1][joined], rows[order][1:][joined]])


def _estimates(queries: Sequence[_Queries], clusters: Integers | None) -> dict[str, Estimate]:
    found = {}
    for name in RETRIEVAL_METRICS:
        parts = [q.ranks if name == "median_rank" else q.hits.get(name) for q in queries]
        known = [part for part in parts if part is not None and len(part[0])]
        values, rows = (np.concatenate([part[i] for part in known]) if known else np.zeros(0) for i in (0, 1))
        of = None if clusters is None or not known else clusters[rows.astype(np.int64)]
        found[name] = (_median if name == "median_rank" else _share)(values, of)
    return found


def _share(hits: Floats, clusters: Integers | None) -> Estimate:
    """The mean of hits (n,), its interval over clusters."""
    value = float(hits.mean()) if len(hits) else float("nan")
    if clusters is None:
        return Estimate(number(value))
    influence, unit = _summed((hits - value) / len(hits), clusters)
    sizes = np.array([len(influence)]) if value in (0.0, 1.0) else None
    return by_influence(value, influence, SHARE, sizes=sizes, name=f"jackknife over {unit}")


def _median(ranks: Floats, clusters: Integers | None) -> Estimate:
    """The median of ranks (n,): its interval is that of the share below it, read off the ranks (Woodruff 1952)."""
    value = float(np.median(ranks)) if len(ranks) else float("nan")
    if clusters is None:
        return Estimate(number(value))
    influence, unit = _summed(((ranks <= value) - np.mean(ranks <= value)) / len(ranks), clusters)
    n = len(influence)
    if n < 2:
        return Estimate(value, method="none: all rows depend on each other")
    reach = Z * float(np.sqrt(np.sum(influence**2) * n / (n - 1)))
    low, high = np.quantile(ranks, np.clip([0.5 - reach, 0.5 + reach], 0, 1))
    return Estimate(value, float(low), float(high), f"Woodruff over {unit}")


def _summed(influence: Floats, clusters: Integers) -> tuple[Floats, str]:
    """Influences (n,) by cluster (m,), and what these are, in words."""
    of = np.unique(clusters, return_inverse=True)[1]
    found = np.asarray(np.bincount(of, influence), dtype=np.float64)
    return found, plural(len(found), "independent row")
