"""What is shown of the validation split after an epoch, by the kind of its targets; no decision is applied yet.

Outputs are float64: logits (N, C) of classes, (N, L) of labels, or values (N, K); targets as the module keeps them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.data.spec import DataSpec
from leyden.data.targets import HAS_CLASS_PRIOR, Kind, describe_target
from leyden.metrics.confusion import Cells
from leyden.metrics.edit_distance import marked
from leyden.tasks.base import Floats, Task
from leyden.tasks.classification import MOST_DRAWN, most_confused
from leyden.tasks.contrastive import class_similarity
from leyden.tasks.figures import ConfusionMatrix, Figure, LabelErrors, PredictedActual

MOST = 20  # classes or labels with curves of their own: of more those with the fewest samples
Bools = NDArray[np.bool_]


def recalls(outputs: Floats, targets: NDArray[Any], kind: Kind, spec: DataSpec) -> dict[str, float]:
    """Recall by class or label, of those that occur; {} of other kinds."""
    if kind not in HAS_CLASS_PRIOR:
        return {}
    truth = _truth(targets, kind, spec)
    answers = outputs > 0 if kind == "labels" else _truth(outputs.argmax(1), kind, spec)
    hits, samples = (truth & answers).sum(0), truth.sum(0)
    return {spec.target_names[c]: float(hits[c] / samples[c]) for c in _shown(samples)}


def one_vs_rest(
    outputs: Floats, targets: NDArray[Any], task: Task, spec: DataSpec
) -> Iterator[tuple[str, Floats, Bools]]:
    """(name, probabilities (N,), whether it is there (N,)) of each class or label; of two classes the second."""
    if task.kind not in HAS_CLASS_PRIOR:
        return
    truth = _truth(targets, task.kind, spec)
    scores = task.scores(outputs, task.neutral(spec))
    chosen = _shown(truth.sum(0))
    for c in chosen[-1:] if task.kind == "classes" and spec.num_outputs == 2 else chosen:
        yield spec.target_names[c], scores[:, c], truth[:, c]


def figures(
    outputs: Floats, targets: NDArray[Any], kind: Kind, spec: DataSpec, title: str
) -> Iterator[tuple[str, Figure]]:
    """(name, figure): confusion of classes, errors by pairs of labels, predicted against actual values, or cosines."""
    names = spec.target_names
    if kind == "sequences" or (kind == "pairs" and len(names) < 2):
        return
    if kind == "pairs":
        yield "similarity", class_similarity(outputs, targets, spec, title)
    elif kind == "labels":
        yield "errors by label", LabelErrors(targets, outputs > 0, names, f"{title}: errors by label")
    elif kind == "values":
        for column, name in enumerate(names):
            suffix = f"/{name}" if len(names) > 1 else ""
            yield f"predicted{suffix}", PredictedActual(outputs[:, column], targets[:, column], name, title)
    elif len(names) > MOST_DRAWN:
        yield "confusion", most_confused(targets, outputs.argmax(1), names, title)
    else:
        counts = Cells.of(targets, outputs.argmax(1), len(names)).matrix()
        yield "confusion", ConfusionMatrix(counts.tolist(), names, f"{title}: confusion")


def answers(outputs: Floats, task: Task, spec: DataSpec) -> list[str]:
    """What is said of each sample: a class and its probability, the labels, the values, the transcript, the cosine."""
    names = spec.target_names
    if task.kind == "sequences":
        return [answer["text"] for answer in task.answers(outputs, spec, task.neutral(spec), 1)]
    if task.kind == "pairs":
        return [f"cosine {value:.2f}" for value in task.scores(outputs, task.neutral(spec))]
    if task.kind == "values":
        return [describe_target(row, names) for row in outputs]
    if task.kind == "labels":
        return [describe_target(row, names) for row in (outputs > 0).astype(np.uint8)]
    p = task.scores(outputs, task.neutral(spec))
    return [f"{names[c]} {row[c]:.2f}" for row, c in zip(p, p.argmax(1), strict=True)]


def truths(targets: NDArray[Any], kind: Kind, names: Sequence[str]) -> list[str]:
    """What each sample is; labels may come as numbers, as batches hold them."""
    return [
        describe_target(target, names)
        for target in (targets.astype(np.uint8) if kind == "labels" else targets)
    ]


def caption(said: str, true: str, kind: Kind) -> str:
    """What is said of a sample, and what it is; of a transcript what was recognised, its edits marked."""
    return marked(true, said) if kind == "sequences" else f"{said}\ntrue: {true}"


def places(
    outputs: Floats, task: Task, spec: DataSpec, seconds: Sequence[float]
) -> list[list[tuple[float, str]]]:
    """(second of its onset, word) of what is recognised in each recording of so many seconds; of other answers none."""
    if task.kind != "sequences":
        return [[] for _ in outputs]
    found = task.words(outputs, spec, task.neutral(spec), seconds)
    return [[(word["onset"], word["word"]) for word in words] for words in found]


def _truth(targets: NDArray[Any], kind: Kind, spec: DataSpec) -> Bools:
    """(N, C): whether a sample has the class or label."""
    if kind == "labels":
        return np.asarray(targets > 0.5)
    found = np.zeros((len(targets), spec.num_outputs), dtype=np.bool_)
    found[np.arange(len(targets)), targets] = True
    return found


def _shown(samples: NDArray[np.int64]) -> list[int]:
    """Places in `samples` (C,) of those that occur, at most MOST."""
    there = np.flatnonzero(samples)
    rare = there[np.argsort(samples[there], kind="stable")[:MOST]]
    return sorted(rare.tolist())
