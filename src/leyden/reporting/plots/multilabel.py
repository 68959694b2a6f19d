"""Figures of a multi-label evaluation, from plain arrays; each function returns a matplotlib `Figure`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from leyden.reporting.plots.shared import count_matrix, interval_bars

__all__ = ["average_precision_bars", "error_matrix", "error_pairs"]

_MOST_LABELS = 19  # of an error matrix: with the row of nothing as many as counts are printed for


def average_precision_bars(per_label: Sequence[Mapping[str, Any]], samples: int, title: str = "") -> Figure:
    """Average precision of each label with its interval and n, the worst on top; above 40 labels the worst 40.

    The black line across a bar is what a random ranking reaches: the label's share of the samples.

    Args:
        per_label: that of a stored MultilabelMetrics.
        samples: how many were evaluated.
        title: above all.
    """
    shown = [label for label in per_label if label["average_precision"]["value"] is not None]
    chance = [label["n"] / max(samples, 1) for label in shown]
    axis = "average precision, 95 % interval; line: chance"
    return interval_bars(shown, "average_precision", axis, title, chance)


def error_pairs(decisions: ArrayLike, targets: ArrayLike) -> NDArray[np.int64]:
    """In how many samples label i is missed (row) and label j falsely added (column): int64 (L + 1, L + 1).

    The last column counts the samples in which i is missed and nothing is added, the last row those in which j is added
    and nothing is missed. decisions and targets: (N, L), 0 and 1.
    """
    answers, truth = np.asarray(decisions, dtype=bool), np.asarray(targets, dtype=bool)
    missed, added = (_with_none(errors) for errors in (truth & ~answers, answers & ~truth))
    pairs = np.rint(missed.T @ added).astype(np.int64)
    pairs[-1, -1] = 0  # samples without a mistake
    return pairs


def _with_none(errors: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, L + 1): the last column is 1 where a sample has none."""
    return np.column_stack((errors, ~errors.any(axis=1))).astype(np.float64)


def error_matrix(
    decisions: ArrayLike, targets: ArrayLike, label_names: Sequence[str], title: str = ""
) -> Figure:
    """`error_pairs` as a picture: what is answered in place of what, and what is only missed or only added.

    The colour is the share of the largest count. Of more than 19 labels the 19 with the most mistakes are shown; "none"
    then still means that no label at all is missed or added.
    """
    pairs = error_pairs(decisions, targets)
    labels = len(label_names)
    wrong = np.asarray(decisions, dtype=bool) != np.asarray(targets, dtype=bool)
    kept = np.sort(np.argsort(-wrong.sum(axis=0), kind="stable")[:_MOST_LABELS])
    left_out = f" (the worst {len(kept)} of {labels})" if len(kept) < labels else ""
    counts = pairs[np.ix_([*kept, labels], [*kept, labels])]
    names = [*(label_names[label] for label in kept), "none"]
    shares = counts / max(counts.max(initial=0), 1)
    return count_matrix(counts, shares, names, ("falsely added", "missed"), f"{title}{left_out}")
