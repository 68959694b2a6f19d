"""Label noise: wrong labels among the samples that the model is surest of, and which labels they probably are.

A model that was trained with wrong labels learns to doubt all of its answers, so its probabilities fit the wrong labels
of other samples, too, and tell nothing. But hard samples come last when samples are ordered by confidence, and have the
model's second choice as their label; labels that are wrong at random come everywhere, and are any class. So the share
of wrong labels is estimated where they are alone: among the surer half, by those whose label is not even the second
choice (of two classes, which have no third: among the surest quarter, by all errors). The suspects are those of
confident learning (Northcutt, Jiang, Chuang, JAIR 2021); where they are nearly all of a model's errors, their number
tells of few samples, too, and of labels that are swapped between two classes. On samples that the model was not trained
on; NumPy only.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings
from leyden.metrics.intervals import wilson

_LEAST = 0.7  # accuracy on the labels as they are
_BETTER = 2 / 3  # of the errors of the best constant answer: most that a model may make
_EXPLAINED = 0.4  # of the errors: least that the wrong labels explain
_FEWEST = 8  # wrong labels that are counted
_REST = 0.97  # accuracy on samples that are not suspect, where all errors are
_MARGIN = 0.5  # mean margin of the predicted over the labelled class among these suspects
_OF_SUSPECTS = 2.0  # as much is needed of them, as hard samples are among them
_LISTED = 5


class NoiseEstimate(NamedTuple):
    """Of `judged` samples `unlikely` have a label that the model all but excludes.

    share: of wrong labels, and low: the lower end of its 95 % interval (Wilson).
    """

    unlikely: int
    judged: int
    share: float
    low: float


def estimate(probabilities: NDArray[np.float64], own: NDArray[np.float64], classes: int) -> NoiseEstimate:
    """The share of labels that are wrong at random.

    Args:
        probabilities: (N, K), of samples the model was not trained on.
        own: (N,), of the labels.
        classes: how many there are, 2 or more.
    """
    above = (probabilities > own[:, None]).sum(1)  # classes that the model prefers to the label
    surest = np.argsort(-probabilities.max(1), kind="stable")[: len(own) // (2 if classes > 2 else 4)]
    unlikely = int((above[surest] >= (2 if classes > 2 else 1)).sum())
    visible = (
        (classes - 2) / (classes - 1) if classes > 2 else 1.0
    )  # of wrong labels, the second choice is one
    found = wilson(unlikely, len(surest))
    return NoiseEstimate(unlikely, len(surest), (found.value or 0.0) / visible, (found.low or 0.0) / visible)


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
    if not len(labels):
        return
    own = _own(probabilities, labels, classes)
    indices = suspects(probabilities, labels, classes)
    margins = probabilities.max(1) - own
    found = estimate(probabilities, own, int(classes.max()) + 1)
    if _is_noise(found, margins, labels, settings):
        share, low = found.share, found.low
        choice = "its second choice" if classes.max() > 1 else "its choice"
        why = (
            f"of the {found.judged} samples that the model is surest of, {found.unlikely} have a label that is not "
            f"{choice}"
        )
    elif _are_all_errors(indices, margins, settings):
        share, low = len(indices) / len(labels), wilson(len(indices), len(labels)).low or 0.0
        why = f"the model is confident of another class for {len(indices)} of {len(labels)}, and right on the rest"
    else:
        return
    listed = ", ".join(names[index] for index in indices[:_LISTED])
    yield Finding(
        "label_noise",
        "error",
        f"about {share:.0%} of the validation labels are probably wrong: {why}; the most suspect: {listed}",
        where="val",
        advice=("loss.label_smoothing=0.1",),
        evidence={"share": share, "low": low, "rows": indices[:100].tolist()},
    )


def _is_noise(
    found: NoiseEstimate,
    margins: NDArray[np.float64],
    labels: NDArray[np.int64],
    settings: DiagnosticsSettings,
) -> bool:
    """Whether the estimate is above the threshold, of a model good enough that it explains much of the errors.

    margins: (N,), of the most probable class over the labelled one.
    """
    errors = float((margins > 0).mean())
    of_constant = 1 - np.bincount(labels).max() / len(labels)
    is_good = errors <= min(1 - _LEAST, _BETTER * of_constant)
    enough = found.unlikely >= _FEWEST and found.low >= settings.noise
    return bool(enough and is_good and found.share >= _EXPLAINED * errors)


def _are_all_errors(
    indices: NDArray[np.int64], margins: NDArray[np.float64], settings: DiagnosticsSettings
) -> bool:
    """Whether the suspects are many, sure, and nearly all errors: of few samples, or of swaps between two classes."""
    n, rest = len(margins), np.delete(margins, indices)
    if len(indices) < _FEWEST or (wilson(len(indices), n).low or 0.0) < _OF_SUSPECTS * settings.noise:
        return False
    return len(rest) >= n / 2 and bool((rest == 0).mean() >= _REST and margins[indices].mean() >= _MARGIN)
