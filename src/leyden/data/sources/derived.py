"""What sources made of other sources share: a validation split, pairs of rows of different classes, label sets."""

import numpy as np
from numpy.typing import NDArray

from leyden.data.index import TEST, TRAIN, VAL
from leyden.utils.errors import UserError

_VAL_OF = 10  # one training row of a class in so many is kept for validation


def with_validation(labels: NDArray[np.int64], split: NDArray[np.int8]) -> NDArray[np.int8]:
    """The split (N,) in which every tenth training row of a class, from its second on, is a validation row.

    Whatever is made of several rows needs this first: pairs that share a recording must be on one side of a split.
    """
    found = split.copy()
    for label in np.unique(labels):
        found[np.flatnonzero((labels == label) & (split == TRAIN))[1::_VAL_OF]] = VAL
    return found


def draw_pairs(
    labels: NDArray[np.int64], split: NDArray[np.int8], train: int, test: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Pairs of rows of one part of the split and of different classes, and the part of each pair.

    The first row of a pair is any, the second of another class, each class equally likely. Which pairs are drawn
    depends on the seed alone.

    Args:
        labels: int64 (N,).
        split: (N,), with rows of all three parts: see `with_validation`.
        train: training pairs; a tenth as many (rounded up) are for validation.
        test: test pairs.
        seed: of the draws.

    Returns:
        Rows int64 (P, 2) and split int8 (P,), P = train + val + test in this order.

    Raises:
        UserError: a part of the split has rows of fewer than two classes.
    """
    wanted = {TRAIN: train, VAL: -(-train // 10), TEST: test}
    pairs = [
        _pairs_among(np.flatnonzero(split == code), labels, count, np.random.default_rng([seed, code]))
        for code, count in wanted.items()
    ]
    return np.concatenate(pairs), np.repeat(np.array(list(wanted), dtype=np.int8), list(wanted.values()))


def _pairs_among(
    rows: NDArray[np.int64], labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`count` pairs (count, 2) of `rows`."""
    present, place, sizes = np.unique(labels[rows], return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise UserError(
            f"data.source: {len(rows)} rows of {len(present)} class cannot make pairs of two classes"
        )
    by_class = rows[np.argsort(place, kind="stable")]
    starts = np.cumsum(sizes) - sizes
    first = rng.integers(0, len(rows), count)
    other = (place[first] + rng.integers(1, len(present), count)) % len(present)
    second = by_class[starts[other] + rng.integers(0, sizes[other])]
    return np.stack([rows[first], second], axis=1)


def label_sets(labels: NDArray[np.int64], pairs: NDArray[np.int64], classes: int) -> NDArray[np.uint8]:
    """uint8 (P, classes): 1 for the class of either row of a pair."""
    found = np.zeros((len(pairs), classes), dtype=np.uint8)
    np.put_along_axis(found, labels[pairs], 1, axis=1)
    return found
