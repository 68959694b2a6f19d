"""Label noise by confident learning (Northcutt, Jiang, Chuang, JAIR 2021), on samples the model was not trained on.

A label is suspect if the model gives another class at least the mean probability that samples of that class get.
Hard samples are suspect as well; so label noise is reported only if the remaining samples are classified almost
perfectly. NumPy only.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings
from leyden.metrics.intervals import wilson

_REST = 0.97  # minimum accuracy on samples that are not suspect
_MARGIN = 0.5  # minimum mean margin of the predicted over the labelled class among suspects
_FEWEST = 8  # minimum number of suspects
_LISTED = 5


def suspects(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices (k,) of the samples whose label is probably wrong, the most certain first.

    Args:
        probabilities: (N, C), of samples the model was not trained on.
        labels: (N,), class indices.
    """
    n, classes = probabilities.shape
    own = probabilities[np.arange(n), labels]
    counts = np.bincount(labels, minlength=classes)
    thresholds = np.bincount(labels, weights=own, minlength=classes) / np.maximum(counts, 1)
    thresholds[counts == 0] = np.inf
    eligible = np.where(probabilities >= thresholds, probabilities, -np.inf)
    best = eligible.argmax(1)
    is_suspect = np.isfinite(eligible.max(1)) & (best != labels)
    margin = probabilities.max(1) - own
    candidates = np.flatnonzero(is_suspect)
    return candidates[np.argsort(-margin[candidates], kind="stable")]


def label_noise(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    settings: DiagnosticsSettings,
) -> Iterator[Finding]:
    """The finding `label_noise`, if the share of wrong labels is significantly above the threshold.

    Args:
        probabilities: (N, C), of validation samples.
        labels: (N,), class indices.
        names: N names of the samples.
        settings: thresholds.
    """
    indices = suspects(probabilities, labels)
    n = len(labels)
    if len(indices) < _FEWEST or (wilson(len(indices), n).low or 0.0) < settings.noise:
        return
    rest = np.setdiff1d(np.arange(n), indices)
    if len(rest) < n / 2:  # the model is wrong, or the whole split
        return
    accuracy = float((probabilities[rest].argmax(1) == labels[rest]).mean())
    margin = float((probabilities[indices].max(1) - probabilities[indices, labels[indices]]).mean())
    if accuracy < _REST or margin < _MARGIN:
        return
    listed = ", ".join(names[index] for index in indices[:_LISTED])
    yield Finding(
        "label_noise",
        "error",
        f"{len(indices)} of {n} validation labels ({len(indices) / n:.0%}) are probably wrong: the model is confident "
        f"of another class, and its accuracy on the rest is {accuracy:.1%}; the most certain: {listed}",
        where="val",
        advice=("loss.label_smoothing=0.1",),
        evidence={"share": len(indices) / n, "rest_accuracy": accuracy, "rows": indices[:100].tolist()},
    )
