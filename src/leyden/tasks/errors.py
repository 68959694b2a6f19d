"""Errors of an evaluation as plain data, grouped as a person looks at them; `leyden.callbacks` shows them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ErrorGroup:
    """The worst errors of one true class, of one label, or of one number.

    name: of the class, label or number.
    total: how many errors it has.
    places: int64 (n,) in the stored predictions, the worst first.
    kinds: of each, what was taken for what: "three as five".
    answers: of each, what was answered, with its probability: "five 0.98".
    """

    name: str
    total: int
    places: NDArray[np.int64]
    kinds: Sequence[str]
    answers: Sequence[str]


def worst_by_class(
    wrong: NDArray[np.int64],
    labels: NDArray[np.int64],
    confidence: NDArray[np.float64],
    each: int,
) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Yield (class, number of errors, places of the at most `each` most confident), classes of most errors first.

    wrong (n,): places of the errors; labels and confidence (n,): of each of them.
    """
    order = np.lexsort((-confidence, labels))
    classes, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    for i in np.argsort(-counts, kind="stable"):
        yield int(classes[i]), int(counts[i]), wrong[order[starts[i] :][: min(each, counts[i])]]


def group(
    name: str, total: int, places: NDArray[np.int64], said: Callable[[int], tuple[str, str]]
) -> ErrorGroup:
    """An `ErrorGroup`. said: place -> (kind, answer)."""
    words = [said(int(place)) for place in places]
    return ErrorGroup(name, total, places, [kind for kind, _ in words], [answer for _, answer in words])
