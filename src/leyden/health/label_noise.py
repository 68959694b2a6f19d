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


def suspects(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Indices (k,) of the samples whose label is probably wrong, the most certain first.

    Args:
        probabilities: (N, K), of samples the model was not trained on: of all classes, or of the most probable ones
            and the true one.
        labels: (N,), class indices.
        classes: (N, K) or (1, K), which class each probability is of.
    """
    own = _own(probabilities, labels, classes)
    size = int(classes.max()) + 1
    counts = np.bincount(labels, minlength=size)
    thresholds = np.bincount(labels, weights=own, minlength=size) / np.maximum(counts, 1)
    thresholds[counts == 0] = np.inf
    eligible = np.where(probabilities >= thresholds[classes], probabilities, -np.inf)
    best = _chosen(classes, eligible.argmax(1))
    is_suspect = np.isfinite(eligible.max(1)) & (best != labels)
    margin = probabilities.max(1) - own
    candidates = np.flatnonzero(is_suspect)
    return candidates[np.argsort(-margin[candidates], kind="stable")]


def _own(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The probability of the true class (N,)."""
    return np.asarray(np.where(classes == labels[:, None], probabilities, 0.0).max(1))


def _chosen(classes: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class at a place (N,) of each row of `classes`."""
    rows = np.broadcast_to(classes, (len(places), classes.shape[1]))
    return np.asarray(rows[np.arange(len(places)), places])


def label_noise(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: NDArray[np.int64],
    names: Sequence[str],
    settings: DiagnosticsSettings,
) -> Iterator[Finding]:
    """The finding `label_noise`, if the share of wrong labels is significantly above the threshold.

    Args:
        probabilities: (N, K), of validation samples.
        labels: (N,), class indices.
        classes: (N, K) or (1, K), which class each probability is of.
        names: N names of the samples.
        settings: thresholds.
    """
    indices = suspects(probabilities, labels, classes)
    n = len(labels)
    if len(indices) < _FEWEST or (wilson(len(indices), n).low or 0.0) < settings.noise:
        return
    rest = np.setdiff1d(np.arange(n), indices)
    if len(rest) < n / 2:  # the model is wrong, or the whole split
        return
    answers = _chosen(classes, probabilities.argmax(1))
    accuracy = float((answers[rest] == labels[rest]).mean())
    margin = float((probabilities.max(1) - _own(probabilities, labels, classes))[indices].mean())
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
