"""Metrics for another mix of classes than the one that was tested: a confusion matrix restated for a target prior."""

import numpy as np
from numpy.typing import ArrayLike

from leyden.metrics.counts import Floats, divide


def restated(confusion: ArrayLike, prior: ArrayLike) -> dict[str, float | None]:
    """Accuracy, balanced accuracy, macro F1 and mean precision where class c has the share prior_c.

    Row c of the matrix gives P(answer k | class c), which does not depend on how frequent the class is (label
    shift). With J[c, k] = prior_c P(k | c), accuracy is the sum of J's diagonal, precision of k is
    J[k, k] / sum_c J[c, k], F1 is 2 J[k, k] / (prior_k + sum_c J[c, k]). Recall stays what it is. None where undefined.

    Args:
        confusion: counts (C, C), rows the true classes.
        prior: positive shares (C,), of any sum; a class without tested samples cannot be restated and is left out.
    """
    counts, wanted = np.asarray(confusion, dtype=np.float64), np.asarray(prior, dtype=np.float64)
    tested = counts.sum(1)
    shares = np.where(tested > 0, wanted, 0.0)
    joint: Floats = (shares / shares.sum() / np.maximum(tested, 1))[:, None] * counts
    hits, support, called = np.diagonal(joint), joint.sum(1), joint.sum(0)
    there = support > 0
    found = {
        "accuracy": hits.sum(),
        "balanced_accuracy": np.mean(divide(hits, support)[there]),
        "macro_f1": np.mean(divide(2 * hits, support + called)[there]),
        "macro_precision": np.nanmean(divide(hits, called)[there]) if called[there].any() else np.nan,
    }
    return {name: float(value) if np.isfinite(value) else None for name, value in found.items()}
