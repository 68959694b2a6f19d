"""The class shares that a net answers by, estimated on validation rows: for a loss that does not fix them.

A focal loss, margins or smoothed labels move a net's probabilities away from the prior that sampling and weights
impose. softmax(z + b) with the biases b of least log loss on rows with class shares v has the mean v: it is right on
average under v. So softmax(z) is right on average under s ~ v exp(-b). Where v is s, s is the mean of softmax(z); under
another v, too, s is what a shift of prior must start from. (Maximum likelihood of biases: Alexandari, Kundaje and
Shrikumar 2020, arXiv 1901.06852; where the scale is fitted as well, their "bias-corrected temperature scaling".) Of
labels the same with sigmoids. NumPy, and SciPy's L-BFGS.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from leyden.metrics.probabilities import log_softmax
from leyden.utils.errors import UserError

Floats = NDArray[np.float64]
_SCALES = (0.05, 20.0)
_STEPS = 100  # of L-BFGS; a few dozen are the rule


def answered_prior(
    outputs: Floats, targets: NDArray[np.generic], imposed: Floats, scaled: bool = False
) -> tuple[float, Floats]:
    """(T, shares (C,) or (L,)): softmax or sigmoid of outputs / T answers by these shares; T is 1 unless `scaled`.

    A class that the rows, or the imposed shares, have none (or a label that all or none have) keeps its imposed share.
    Where the rows say little the shares stay near the imposed ones: of each bias, its distance from theirs has a normal
    prior of deviation 1.

    Args:
        outputs: logits (N, C) or (N, L) of validation rows.
        targets: classes (N,) or labels (N, L).
        imposed: what sampling and the loss's weights make of the training shares.
        scaled: whether a temperature is fitted as well.

    Raises:
        UserError: there are no rows.
    """
    if not len(targets):
        raise UserError(
            "decision: the loss leaves open by which class shares the net answers; they are estimated on validation "
            "samples, and the split has none: choose decision=none, or loss=cross_entropy (loss=bce for labels)"
        )
    of_labels = targets.ndim == 2
    hits = np.zeros(outputs.shape)
    if of_labels:
        hits[:] = targets
    else:
        hits[np.arange(len(targets)), targets] = 1
    found = hits.mean(0)
    there = (found > 0) & (imposed > 0) & ((found < 1) & (imposed < 1) | (not of_labels))
    if not there.any():
        return 1.0, imposed
    rows = np.full(len(hits), True) if of_labels else hits[:, there].any(1)
    z, hits = outputs[rows][:, there], hits[rows][:, there]
    transform = logit if of_labels else np.log
    v, start = (np.asarray(transform(shares)) for shares in (hits.mean(0), imposed[there]))
    scale, biases = _fitted(z, hits, v - start, of_labels, scaled)
    shares = np.array(imposed)
    if of_labels:
        shares[there] = expit(v - biases)
    else:
        of_there = np.exp(v - biases - (v - biases).max())
        shares[there] = of_there / of_there.sum() * imposed[there].sum()
    return 1 / scale, shares


def _fitted(z: Floats, hits: Floats, start: Floats, of_labels: bool, scaled: bool) -> tuple[float, Floats]:
    """(scale, biases (C,)) of least log loss of scale * z + biases, near `start`; a convex problem."""
    from scipy.optimize import minimize

    def loss(x: Floats) -> tuple[float, Floats]:
        logits, off = x[0] * z + x[1:], x[1:] - start
        if of_labels:
            gaps = expit(logits) - hits
            losses = np.logaddexp(0, logits) - hits * logits
        else:
            log_p = log_softmax(logits)
            gaps, losses = np.exp(log_p) - hits, -hits * log_p
        n = len(z)
        slope = np.concatenate([[(gaps * z).sum() / n], gaps.mean(0) + off / n])
        return float(losses.sum() / n + off @ off / (2 * n)), slope

    bounds = [_SCALES if scaled else (1.0, 1.0), *[(None, None)] * z.shape[1]]
    at = np.concatenate([[1.0], start])
    x = minimize(loss, at, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}).x
    return float(x[0]), x[1:]
