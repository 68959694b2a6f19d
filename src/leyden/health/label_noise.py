"""Wrong labels, seen by a model that did not train on them: confident learning (Northcutt, Jiang, Chuang, JAIR 2021).

A sample is suspect where the model gives another class at least the probability that it gives, on average, to samples
of that class. Hard samples are suspect as well; so it is said only where the rest is nearly perfectly told apart, which
leaves the labels to blame. NumPy only.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings
from leyden.metrics.intervals import wilson

_REST = 0.97  # accuracy on what is not suspect
_SURE = 0.5  # mean probability that suspects get for the other class above their own
_FEWEST = 8  # suspects
_NAMED = 5


def suspects(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places (k,) of the samples whose label looks wrong, the surest first.

    Args:
        probabilities: (N, C), of samples that were not trained on.
        labels: (N,).
    """
    n, classes = probabilities.shape
    own = probabilities[np.arange(n), labels]
    counts = np.bincount(labels, minlength=classes)
    thresholds = np.bincount(labels, weights=own, minlength=classes) / np.maximum(counts, 1)
    thresholds[counts == 0] = np.inf
    eligible = np.where(probabilities >= thresholds, probabilities, -np.inf)
    best = eligible.argmax(1)
    off = np.isfinite(eligible.max(1)) & (best != labels)
    margin = probabilities.max(1) - own
    places = np.flatnonzero(off)
    return places[np.argsort(-margin[places], kind="stable")]


def label_noise(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    policy: DiagnosticsSettings,
) -> Iterator[Finding]:
    """The finding, if there is one. names: N, of the samples."""
    found = suspects(probabilities, labels)
    n = len(labels)
    if len(found) < _FEWEST or (wilson(len(found), n).low or 0.0) < policy.noise:
        return
    rest = np.setdiff1d(np.arange(n), found)
    if len(rest) < n / 2:  # it is the model that is wrong, or the whole split
        return
    right = float((probabilities[rest].argmax(1) == labels[rest]).mean())
    sure = float((probabilities[found].max(1) - probabilities[found, labels[found]]).mean())
    if right < _REST or sure < _SURE:
        return
    shown = ", ".join(names[place] for place in found[:_NAMED])
    yield Finding(
        "label_noise",
        "error",
        f"{len(found)} of {n} validation labels ({len(found) / n:.0%}) look wrong: the model is sure of another class, "
        f"and right on {right:.1%} of the rest; the surest: {shown}",
        where="val",
        advice=("loss.label_smoothing=0.1",),
        evidence={"share": len(found) / n, "rest_accuracy": right, "rows": found[:100].tolist()},
    )
