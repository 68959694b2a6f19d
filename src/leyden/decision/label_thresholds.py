"""The threshold of each label that maximises F1 on given (validation) samples: exact, by one sort a label. NumPy only.

    offsets = best_label_thresholds(val_logits, val_targets, "macro_f1")
    answers = decide(test_logits, offsets)

A label is predicted where logit + offset > 0, so an offset is minus a threshold on the logit. On true probabilities the
best threshold is half the best F1 (Lipton et al. 2014, arXiv 1402.1892), hence below one half, most so for rare labels.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_GAIN = 1e-9  # less is rounding
_TIED = 1e-9  # of a logit: scores that differ by less are one, an offset between them would be rounded away


def decide(logits: ArrayLike, offsets: ArrayLike) -> NDArray[np.bool_]:
    """Which labels are predicted: bool (N, L) of logits (N, L) and offsets (L,)."""
    answers: NDArray[np.bool_] = np.asarray(logits, np.float64) + np.asarray(offsets, np.float64) > 0
    return answers


def best_label_thresholds(
    logits: ArrayLike, targets: ArrayLike, criterion: Literal["macro_f1", "micro_f1"]
) -> Floats:
    """Offsets (L,), the best that there are on these samples.

    macro_f1: each label's own F1. micro_f1: that of all decisions together, 2 TP / (positives + predicted), by
    Dinkelbach's method (1967): for a guess F of the optimum each label takes the cut with the largest 2 TP - F *
    predicted, and the F1 of these is the next guess; it grows until it is the optimum. Offsets move only for a gain,
    and of equally good ones the nearest to 0 is taken. A label without positives keeps 0: nothing tells where its
    threshold should be.

    Args:
        logits: (N, L), finite.
        targets: (N, L), 1 where a sample has the label, else 0.
        criterion: to be maximised.

    Raises:
        ValueError: shapes that do not fit, no samples, logits that are not finite, targets other than 0 and 1, another
            criterion.
    """
    scores, truth = _checked(logits, targets)
    if criterion not in ("macro_f1", "micro_f1"):
        raise ValueError(f"criterion: expected macro_f1 or micro_f1, got {criterion!r}")
    moving = np.flatnonzero(truth.any(0))
    cuts = [_Cuts(scores[:, label], truth[:, label]) for label in moving]
    offsets = np.zeros(scores.shape[1])
    if criterion == "macro_f1":
        chosen = [cut.nearest(2 * cut.hits / (cut.hits[-1] + cut.predicted)) for cut in cuts]
    else:
        fixed = int((scores > 0)[:, ~truth.any(0)].sum())  # predictions of the labels that keep 0
        chosen = _best_together(cuts, fixed)
    offsets[moving] = [-cut.thresholds[at] for cut, at in zip(cuts, chosen, strict=True)]
    return offsets


def _checked(logits: ArrayLike, targets: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    if scores.ndim != 2 or truth.shape != scores.shape or not len(scores):
        raise ValueError(f"expected logits and targets (N, L), N > 0, got {scores.shape} and {truth.shape}")
    if not np.isfinite(scores).all() or not np.isin(truth, (0, 1)).all():
        raise ValueError("logits must be finite, and targets 0 or 1")
    return scores, truth.astype(np.bool_)


class _Cuts:
    """Every outcome of one label's threshold: the c-th predicts the `predicted[c]` highest scores, `hits[c]` rightly.

    Tied scores are predicted together. thresholds: half-way between scores, and 0 where that has the same outcome.
    """

    def __init__(self, scores: Floats, truth: NDArray[np.bool_]) -> None:
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        gap = falling[:-1] - falling[1:] > _TIED * np.maximum(1, np.abs(falling[1:]))
        self.predicted = np.flatnonzero(np.concatenate([[True], gap, [True]]))
        self.hits = np.concatenate([[0], np.cumsum(truth[order])])[self.predicted]
        between = self.predicted[1:-1]
        middle = (falling[between - 1] + falling[between]) / 2
        self.thresholds = np.concatenate([[falling[0] + 1], middle, [falling[-1] - 1]])
        now = np.flatnonzero(self.predicted == np.count_nonzero(falling > 0))
        self.thresholds[now] = 0.0  # none where 0 lies inside a tie

    def nearest(self, values: Floats) -> int:
        """Of the cuts whose value is the best, the one with the threshold nearest to 0."""
        good = np.flatnonzero(values >= values.max() - _GAIN)
        return int(good[np.abs(self.thresholds[good]).argmin()])


def _best_together(cuts: list[_Cuts], fixed: int) -> list[int]:
    """The cut of each label for the best micro F1; fixed: predictions of the other labels, all of them wrong."""
    positives = sum(int(cut.hits[-1]) for cut in cuts)
    best = 0.0
    while True:
        chosen = [cut.nearest(2.0 * cut.hits - best * cut.predicted) for cut in cuts]
        pairs = list(zip(cuts, chosen, strict=True))
        hits = sum(int(cut.hits[at]) for cut, at in pairs)
        predicted = fixed + sum(int(cut.predicted[at]) for cut, at in pairs)
        found = 2 * hits / (positives + predicted) if positives else 0.0
        if found <= best + _GAIN:
            return chosen
        best = found
