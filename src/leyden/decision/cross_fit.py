"""Cross-fitting: what a decision that was chosen on validation rows is worth on rows like them.

The same rows cannot choose a decision and judge it: thresholds of the best macro F1 on 200 rows overstate it by .02 to
.09. So the rows are divided into folds; the decision of each fold is chosen on the others, and all decisions are judged
together (K-fold cross-fitting: Chernozhukov et al. 2018, arXiv 1608.00060). What is applied to later rows is chosen on
all of them, and so is slightly better than what is judged. NumPy only.
"""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.utils.errors import UserError

FOLDS = 5
Fit = Callable[[NDArray[np.float64], NDArray[Any]], Any]  # outputs (N, ...), targets (N, ...) -> decision


class CrossFitted:
    """Stands for a decision: every method of the parts that maps rows to rows, each row by its own fold's part.

    Args:
        parts: a decision for each fold.
        rows: int64 rows of each fold, all of them together 0 .. N - 1.
    """

    is_neutral = False

    def __init__(self, parts: list[Any], rows: list[NDArray[np.int64]]) -> None:
        self.parts, self._rows = parts, rows
        self._order = np.argsort(np.concatenate(rows))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """The method of this name, of arrays (N, ...) or tuples of them."""
        methods = [getattr(part, name) for part in self.parts]
        if not all(map(callable, methods)):
            raise AttributeError(name)

        def by_rows(*arrays: NDArray[Any]) -> Any:
            made = [
                method(*(array[rows] for array in arrays))
                for method, rows in zip(methods, self._rows, strict=True)
            ]
            if isinstance(made[0], tuple):
                return tuple(np.concatenate(part)[self._order] for part in zip(*made, strict=True))
            if isinstance(made[0], list):  # transcripts
                every = [each for part in made for each in part]
                return [every[place] for place in self._order]
            return np.concatenate(made)[self._order]

        return by_rows


def cross_fitted(fit: Fit, outputs: NDArray[np.float64], targets: NDArray[Any]) -> CrossFitted | None:
    """The decision of each row, chosen without it; None: too few rows to choose one on the other folds.

    Args:
        fit: chooses a decision on some of the rows.
        outputs: (N, ...) of the validation rows.
        targets: (N,) classes, (N, L) labels of 0 and 1, or (N, K) values.
    """
    fold = folds(targets)
    rows = [np.flatnonzero(fold == k) for k in range(FOLDS)]
    if not all(map(len, rows)):
        return None
    try:
        return CrossFitted([fit(outputs[fold != k], targets[fold != k]) for k in range(FOLDS)], rows)
    except UserError:  # a conformal radius needs so many rows; there are enough with the fold, not without it
        return None


def folds(targets: NDArray[Any]) -> NDArray[np.int64]:
    """The fold (N,) of each row: a function of the targets alone, stratified by class or by the rarest label."""
    strata = _strata(targets)
    shuffled = np.random.default_rng(zlib.crc32(np.ascontiguousarray(targets).tobytes())).permutation(
        len(targets)
    )
    found = np.empty(len(targets), dtype=np.int64)
    found[shuffled[np.argsort(strata[shuffled], kind="stable")]] = np.arange(len(targets)) % FOLDS
    return found


def rarest(targets: NDArray[Any]) -> int:
    """Rows of the rarest class that has some, or positives of the rarest label; all rows where there are neither."""
    counts = np.bincount(targets) if targets.ndim == 1 else targets.sum(0)
    return int(min(counts[counts > 0], default=0)) if _are_labels(targets) else len(targets)


def _are_labels(targets: NDArray[Any]) -> bool:
    return targets.ndim == 1 or bool(np.isin(targets, (0, 1)).all())


def _strata(targets: NDArray[Any]) -> NDArray[np.int64]:
    """(N,): the class, the rarest label of each row (L for none), or 0 where targets are values."""
    if targets.ndim == 1:
        return targets
    if not _are_labels(targets):
        return np.zeros(len(targets), dtype=np.int64)
    own = np.where(targets > 0, targets.sum(0), np.inf)
    return np.where(targets.any(1), own.argmin(1), targets.shape[1])
