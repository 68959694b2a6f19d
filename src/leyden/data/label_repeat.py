"""Repeat-factor sampling for label sets: rows with a rare label are shown more often. Pure functions, NumPy only.

    factors = repeat_factors(targets, threshold=0.01)
    order = repeated_rows(factors, seed=0, epoch=3)      # indices into the training rows

Gupta et al.: LVIS, CVPR 2019 (arXiv 1908.03195), section 5. A row brings all its labels along, so frequent labels that
come with rare ones are repeated, too; `imposed_share` says what comes of it.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_ROUNDING, _ORDER = range(2)  # streams of random numbers


def repeat_factors(targets: ArrayLike, threshold: float) -> Floats:
    """How often each row is shown in an epoch on average: float (N,), 1 or more.

    A label that a share f of the rows has gets r = max(1, sqrt(threshold / f)), a row the largest r of its labels; a
    row without labels gets 1.

    Args:
        targets: (N, L), 1 where a row has the label, else 0.
        threshold: share below which a label's rows are repeated; .001 on LVIS, with 1,230 labels.

    Raises:
        ValueError: targets that are not (N, L) of 0 and 1, a threshold outside 0 < threshold <= 1.
    """
    has = _label_sets(targets)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold: expected a share above 0 and at most 1, got {threshold}")
    shares = has.sum(0) / max(len(has), 1)
    by_label = np.sqrt(np.maximum(1.0, threshold / np.where(shares > 0, shares, 1.0)))
    return np.where(has, by_label, 1.0).max(axis=1, initial=1.0)


def repeated_rows(factors: ArrayLike, seed: int, epoch: int) -> NDArray[np.int64]:
    """The rows of an epoch in shuffled order: int64 (M,), a pure function of (seed, epoch).

    Row i is there floor(factor) times, and once more with the probability of what was cut off: M is sum(factors) on
    average, and varies from epoch to epoch.

    Raises ValueError for factors that are not finite numbers (N,) of 0 or more.
    """
    wanted = np.asarray(factors, dtype=np.float64)
    if wanted.ndim != 1 or not (np.isfinite(wanted) & (wanted >= 0)).all():
        raise ValueError(f"expected factors (N,), finite and not negative, got {wanted.shape}")
    drawn = np.random.default_rng([seed, epoch, _ROUNDING]).random(len(wanted))
    times = np.floor(wanted).astype(np.int64) + (drawn < wanted % 1)
    rows = np.repeat(np.arange(len(wanted)), times)
    return np.random.default_rng([seed, epoch, _ORDER]).permutation(rows)


def imposed_share(targets: ArrayLike, factors: ArrayLike) -> Floats:
    """The share (L,) of an epoch's rows that have each label, on average over epochs.

    Raises ValueError for targets that are not (N, L) of 0 and 1, factors that are not (N,), and a sum of 0.
    """
    has, wanted = _label_sets(targets), np.asarray(factors, dtype=np.float64)
    if wanted.shape != has.shape[:1] or not wanted.sum() > 0:
        raise ValueError(f"expected factors ({len(has)},) with a positive sum, got {wanted.shape}")
    share: Floats = wanted @ has / wanted.sum()
    return share


def _label_sets(targets: ArrayLike) -> NDArray[np.bool_]:
    values = np.asarray(targets)
    if values.ndim != 2 or not np.isin(values, (0, 1)).all():
        raise ValueError(f"expected targets (N, L) of 0 and 1, got {values.dtype} {values.shape}")
    return values.astype(np.bool_)
