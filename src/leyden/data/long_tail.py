"""Make the training split long-tailed: which of its rows are kept. Validation and test stay as they are.

The subset is a pure function of (seed, class), whatever else is drawn: for class c the rows are permuted by
`default_rng([seed, c])` and the first n_c kept. (Published code draws from the global generator, so its subset
depends on what ran before; some draws another one each time.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from annotated_types import Ge, Gt, Interval, Lt
from numpy.typing import NDArray

from leyden.utils.errors import UserError, nearest

Seed = Annotated[int, Ge(0)]


class TrainSubsampler(Protocol):
    """Chooses the training rows that are kept. A user's own is any object that does."""

    def __call__(self, labels: NDArray[Any], class_names: Sequence[str]) -> NDArray[np.int64]:
        """Places (k,) in `labels` (n,), sorted."""


@dataclass(frozen=True)
class KeepAll:
    """Keeps all."""

    def __call__(self, labels: NDArray[Any], class_names: Sequence[str]) -> NDArray[np.int64]:
        """All places."""
        return np.arange(len(labels))


@dataclass(frozen=True)
class Exponential:
    """n_c = floor(n_max / ratio^(c / (C - 1))), c in the order of the classes, n_max the largest class's count.

    Cui et al. 2019 (arXiv 1901.05555) and Cao et al. 2019 (arXiv 1906.07413): of CIFAR-10's 5,000 a class, ratio 100
    keeps 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83 and 50. A class that has fewer keeps all it has.

    Args:
        ratio: of the first class to the last.
        seed: of the choice.
    """

    ratio: Annotated[float, Ge(1)] = 100.0
    seed: Seed = 0

    def __call__(self, labels: NDArray[Any], class_names: Sequence[str]) -> NDArray[np.int64]:
        """The places kept."""
        classes = len(class_names)
        largest = int(np.bincount(labels, minlength=classes).max(initial=0))
        steps = max(1, classes - 1)
        # the exact quotient before the floor: 5000 / 100 is 50, and not 49.999...
        kept = [int(largest * self.ratio ** (-c / steps) + 1e-9 * largest) for c in range(classes)]
        return choose(labels, kept, self.seed)


@dataclass(frozen=True)
class Step:
    """The last `minority` of the classes keep n_max / ratio samples, the others all (Cao et al. 2019: one half)."""

    ratio: Annotated[float, Ge(1)] = 100.0
    minority: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    seed: Seed = 0

    def __call__(self, labels: NDArray[Any], class_names: Sequence[str]) -> NDArray[np.int64]:
        """The places kept."""
        classes = len(class_names)
        largest = int(np.bincount(labels, minlength=classes).max(initial=0))
        rare = round(self.minority * classes)
        return choose(labels, [largest] * (classes - rare) + [int(largest / self.ratio)] * rare, self.seed)


@dataclass(frozen=True)
class Share:
    """Thins one class until it makes up `share` of what is left: spam, or a disease.

    Args:
        name: of the class.
        share: of the kept samples.
        seed: of the choice.
    """

    name: str | int  # YAML reads 7 as a number
    share: Annotated[float, Gt(0), Lt(1)]
    seed: Seed = 0

    def __call__(self, labels: NDArray[Any], class_names: Sequence[str]) -> NDArray[np.int64]:
        """The places kept.

        Raises:
            UserError: there is no such class, or it makes up less already.
        """
        name = str(self.name)
        if name not in class_names:
            raise UserError(f"long_tail.name={name}: there is no such class; {nearest(name, class_names)}")
        counts = np.bincount(labels, minlength=len(class_names))
        rare = list(class_names).index(name)
        others = int(counts.sum() - counts[rare])
        wanted = round(self.share * others / (1 - self.share))
        if wanted > counts[rare]:
            raise UserError(
                f"long_tail.share={self.share}: {name!r} makes up {counts[rare] / counts.sum():.3g} of the "
                "training samples, and thinning can only lower that"
            )
        kept = counts.tolist()
        kept[rare] = max(1, wanted)
        return choose(labels, kept, self.seed)


def choose(labels: NDArray[Any], kept: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Sorted places of at most `kept[c]` rows of each class c."""
    chosen = [np.zeros(0, np.int64)]
    for c, most in enumerate(kept):
        own = np.flatnonzero(labels == c)
        chosen.append(np.random.default_rng([seed, c]).permutation(own)[:most])
    return np.sort(np.concatenate(chosen))
