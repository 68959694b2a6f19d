"""Errors of an evaluation as plain data, grouped as a person looks at them.

`leyden.callbacks` shows the worst in TensorBoard, `leyden errors` all of them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Mistake(NamedTuple):
    """What was answered of one row, in words and numbers.

    kind: what was taken for what: "three as five".
    said: what was answered, with its probability: "five 0.98".
    true, answer: of each alone: "three", "five".
    probability: of the answer; NaN: answers have none.
    loss: what the row adds to the log loss, by the probability of the truth; of a number the squared difference, of a
        transcript its word error rate.
    margin: the probability of the truth less that of the most probable other; NaN: there are none.
    """

    kind: str
    said: str
    true: str = ""
    answer: str = ""
    probability: float = math.nan
    loss: float = math.nan
    margin: float = math.nan


@dataclass(frozen=True)
class ErrorGroup:
    """The worst errors of one true class, of one label, or of one number.

    name: of the class, label or number.
    total: how many errors it has.
    places: int64 (n,) in the stored predictions, the worst first.
    mistakes: of each.
    """

    name: str
    total: int
    places: NDArray[np.int64]
    mistakes: Sequence[Mistake]

    @property
    def kinds(self) -> Sequence[str]:
        """Of each, what was taken for what."""
        return [mistake.kind for mistake in self.mistakes]

    @property
    def answers(self) -> Sequence[str]:
        """Of each, what was answered, with its probability."""
        return [mistake.said for mistake in self.mistakes]


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


def group(name: str, total: int, places: NDArray[np.int64], said: Callable[[int], Mistake]) -> ErrorGroup:
    """An `ErrorGroup`. said: place -> what was answered there."""
    return ErrorGroup(name, total, places, [said(int(place)) for place in places])


def log_loss(probability: float) -> float:
    """-log of the probability of the truth, which may have been rounded to 0 when it was stored.

    >>> round(log_loss(0.5), 4), round(log_loss(0.0), 1)
    (0.6931, 87.3)
    """
    return -math.log(max(probability, float(np.finfo(np.float32).tiny)))
