"""Metrics for another mix of classes than the one that was tested: a confusion matrix restated for a target prior."""

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from leyden.metrics.confusion import Counts, Floats
from leyden.metrics.intervals import number

_ROUNDING = 1e-12  # a variance below it is none


class ShiftedMetrics(TypedDict):
    """By name as in METRICS, and of each class (C) its precision; None where undefined."""

    accuracy: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    mcc: float | None
    macro_precision: float | None
    precision: list[float | None]


def shift_prior(confusion: ArrayLike, prior: ArrayLike) -> ShiftedMetrics:
    """What a test would have found where class c has the share prior_c; recall stays what it is.

    Row c of the matrix gives P(answer k | class c), which does not depend on how frequent the class is (label
    shift). With J[c, k] = prior_c P(k | c) and q_k = sum_c J[c, k]: accuracy = sum_k J[k, k]; precision of k =
    J[k, k] / q_k; F1 of k = 2 J[k, k] / (prior_k + q_k); MCC = (sum_k J[k, k] - sum_k prior_k q_k) / sqrt((1 - sum_k
    prior_k^2) (1 - sum_k q_k^2)) (Gorodkin 2004), 0 where all answers are the same. The answers themselves are
    taken as they are: an operating point for the target prior may give better ones.

    Args:
        confusion: counts (C, C), rows the true classes.
        prior: shares (C,) of 0 or more and of any sum; a class without tested samples cannot be restated and is
            left out.

    Raises:
        ValueError: shapes that do not fit, negative or no shares.
    """
    counts, wanted = np.asarray(confusion, dtype=np.float64), np.asarray(prior, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or wanted.shape != counts.shape[:1]:
        raise ValueError(f"expected confusion (C, C) and prior (C,), got {counts.shape} and {wanted.shape}")
    if not (np.isfinite(wanted) & (wanted >= 0)).all():
        raise ValueError(f"prior: expected shares of 0 or more, got {wanted.tolist()}")
    tested = counts.sum(1)
    shares = np.where(tested > 0, wanted, 0.0)
    if not shares.sum() > 0:
        raise ValueError("prior: no class that was tested has a share")
    # J[c, k] = prior_c n[c, k] / n_c, (C, C): a row that was not tested has prior 0
    restated = (shares / shares.sum() / np.maximum(tested, 1))[:, None] * counts
    joint = Counts(np.diagonal(restated), restated.sum(1), restated.sum(0))
    precision = joint.precision()
    there = precision[(joint.support > 0) & ~np.isnan(precision)]
    return {
        "accuracy": number(float(joint.hits.sum())),
        "balanced_accuracy": number(float(joint.balanced_accuracy())),
        "macro_f1": number(float(joint.macro_f1())),
        "mcc": number(_mcc(joint)),
        "macro_precision": number(float(there.mean())) if len(there) else None,
        "precision": [number(float(p)) for p in precision],
    }


def _mcc(joint: Counts) -> float:
    """As `Counts.mcc`, of shares: whether a variance is 0 is a matter of rounding here."""
    prior: Floats = joint.support / joint.support.sum()
    called: Floats = joint.predicted / joint.predicted.sum()
    # 1 - sum_c p_c^2, written as sum_c p_c (1 - p_c), which does not lose digits where one share is nearly 1
    of_labels, of_answers = (float(shares @ (1 - shares)) for shares in (prior, called))
    if of_labels < _ROUNDING:
        return float("nan")
    if of_answers < _ROUNDING:
        return 0.0
    return float((joint.hits.sum() - prior @ called) / np.sqrt(of_labels * of_answers))
