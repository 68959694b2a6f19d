"""Label noise: which training labels are probably wrong, by how far the net preferred them over the epochs.

The mean margin of a training row (`leyden.callbacks.margins`) is low where its label is wrong, and where the sample is
hard. Hard samples are a tail of all the others; labels that are wrong at random are a group of their own, since the
net prefers their true class as surely as it prefers a right label. So a mixture of two normal distributions is fitted
to atanh(margin), which makes both groups about normal, the lower one up to twice as wide, and rows are flagged below
the valley between its two modes. Without a valley nothing is flagged: wrong labels, if there are any, cannot be told
from hard samples. At the valley about as many wrong labels are missed as right ones are flagged, so the flagged share
is the estimate.

A class that the net has not learned has low margins, too: one of which most rows are below the valley is left out.
NumPy only.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings
from leyden.metrics.intervals import wilson
from leyden.utils.text import percent

FEWEST_DRAWS = (
    2  # of half of the rows at least, after the first epoch: of fewer, the order of the draws tells more
)
_FEWEST_ROWS = 50
_FEWEST = 8  # wrong labels that are a finding
_UNLEARNED = 0.6  # of a class's rows below the valley: more are no wrong labels
_DEPTH = 0.95  # density in the valley over that of the lower mode: more is no valley
_WIDEST = 2.0  # deviations of the main mode: a lower one that were wider would be the tail of hard samples
_BOUND = 0.9999  # of margins, whose atanh must be finite
_BINS, _STEPS, _GRID = 500, 500, 1001
LISTED = 5  # suspects that are named

Floats = NDArray[np.float64]


class Modes(NamedTuple):
    """A mixture of two normal distributions: means (2,), the main one's first, deviations (2,) and weights (2,)."""

    means: Floats
    deviations: Floats
    weights: Floats

    def density(self, x: Floats) -> Floats:
        """(n, 2): of each part at x (n,), times its weight."""
        z = (x[:, None] - self.means) / self.deviations
        return self.weights * np.exp(-0.5 * z**2) / (self.deviations * np.sqrt(2 * np.pi))

    def valley(self) -> float | None:
        """Where the density is least between the main mode and a lower, lesser one; None: there are no such two."""
        if self.means[1] >= self.means[0] or self.weights[1] >= 0.5:
            return None
        x = np.linspace(self.means.min(), self.means.max(), _GRID)
        density = self.density(x).sum(1)
        least = int(density.argmin())
        is_valley = 0 < least < _GRID - 1 and density[least] <= _DEPTH * min(density[0], density[-1])
        return float(x[least]) if is_valley else None


class Noise(NamedTuple):
    """Training rows with wrong labels.

    flagged: (n,), whether a row's label is probably wrong.
    share: of the rows whose margin is known, that are flagged.
    low, high: its 95 % interval (Wilson), of the count alone.
    valley: the margin below which rows are flagged; None: there is none.
    """

    flagged: NDArray[np.bool_]
    share: float = 0.0
    low: float = 0.0
    high: float = 0.0
    valley: float | None = None


def fit_modes(x: Floats) -> Modes:
    """The mixture of two normal distributions with the greatest likelihood, found from the median and a low quantile.

    The lower one is at most twice as wide as the main one. x (n,) is counted in 500 bins, so that a million values cost
    what a thousand do.
    """
    median = float(np.median(x))
    spread = 1.4826 * float(np.median(np.abs(x - median))) + 1e-3
    counts, edges = np.histogram(x, _BINS)
    centres = (edges[1:] + edges[:-1])[counts > 0] / 2
    counts = counts[counts > 0]
    means = np.array([median, min(0.0, float(np.quantile(x, 0.05)))])
    modes = Modes(means, np.full(2, spread), np.array([0.9, 0.1]))
    for _ in range(_STEPS):
        parts = modes.density(centres) + 1e-300
        own = counts[:, None] * parts / parts.sum(1, keepdims=True)
        sizes = own.sum(0) + 1e-9
        means = (own * centres[:, None]).sum(0) / sizes
        variances = (own * (centres[:, None] - means) ** 2).sum(0) / sizes
        # a part must not shrink to a single value, where the likelihood is infinite
        deviations = np.sqrt(variances + (0.1 * spread) ** 2)
        deviations[1] = min(deviations[1], _WIDEST * deviations[0])
        found = Modes(means, deviations, sizes / len(x))
        is_settled = np.abs(found.means - modes.means).max() < 1e-6
        modes = found
        if is_settled:
            break
    return modes


def find_noise(margins: NDArray[np.float32], draws: NDArray[np.integer], labels: NDArray[np.int64]) -> Noise:
    """The rows whose labels are probably wrong.

    Args:
        margins: (n,), mean margins in -1 .. 1; NaN of a row that has not been drawn.
        draws: (n,), of how many draws.
        labels: (n,), class indices.
    """
    known = np.isfinite(margins)
    flagged = np.zeros(len(margins), bool)
    if known.sum() < _FEWEST_ROWS or np.median(draws[known]) < FEWEST_DRAWS:
        return Noise(flagged)
    x = np.arctanh(np.clip(margins[known].astype(np.float64), -_BOUND, _BOUND))
    found, valley = _below_valley(x, labels[known])
    flagged[known] = found
    share = wilson(int(found.sum()), len(found))
    at = None if valley is None else float(np.tanh(valley))
    return Noise(flagged, share.value or 0.0, share.low or 0.0, share.high or 0.0, at)


def _below_valley(x: Floats, labels: NDArray[np.int64]) -> tuple[NDArray[np.bool_], float | None]:
    """Which x (n,) are below the valley between the modes of the learned classes, and where that is."""
    learned = np.ones(len(x), bool)
    while learned.sum() >= _FEWEST_ROWS:
        valley = fit_modes(x[learned]).valley()
        if valley is None:
            break
        low = learned & (x < valley)
        counts, of_class = np.bincount(labels[low], minlength=labels.max() + 1), np.bincount(labels[learned])
        unlearned = np.flatnonzero(counts[: len(of_class)] > _UNLEARNED * of_class)
        if not len(unlearned):
            return low, valley
        learned &= ~np.isin(labels, unlearned)
    return np.zeros(len(x), bool), None


def label_noise(
    found: Noise,
    margins: NDArray[np.float32],
    rows: NDArray[np.int64],
    words: Sequence[str],
    settings: DiagnosticsSettings,
) -> Iterator[Finding]:
    """The finding `label_noise`, if the share of wrong labels is significantly above the threshold.

    Args:
        found: in the training rows.
        margins: (n,), of these.
        rows: (n,), of the table.
        words: of a few rows, the most suspect first, what they are.
        settings: thresholds.
    """
    count = int(found.flagged.sum())
    if count < _FEWEST or found.low < settings.noise:
        return
    yield Finding(
        "label_noise",
        "error",
        f"about {percent(found.share)} of the training labels are probably wrong: the net has preferred other classes "
        f"to {count:,} of them, which stand apart from hard samples; the most suspect: {', '.join(words)}",
        where="train",
        advice=("loss.label_smoothing=0.1",),
        evidence={
            "share": found.share,
            "low": found.low,
            "high": found.high,
            "rows": rows[ranking(margins)][:100].tolist(),
        },
    )


def ranking(margins: NDArray[np.float32]) -> NDArray[np.int64]:
    """Places (n,) by rising margin, the most suspect first; unknown ones last."""
    return np.argsort(margins, kind="stable")
