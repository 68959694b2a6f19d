"""The validation split after an epoch, in TensorBoard: figures, precision-recall curves, samples, histograms."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leyden.callbacks.tensorboard_figures import SECONDS, sounds_figure, write_figure
from leyden.callbacks.tensorboard_tags import EPOCHS
from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.data.targets import sampling_classes
from leyden.reporting import markdown
from leyden.reporting.plots.draw import draw
from leyden.reporting.plots.samples import samples_figure
from leyden.tasks import epoch_views
from leyden.tasks.base import Task

SAMPLES = 9  # validation samples that are followed
THRESHOLDS = 127  # of a precision-recall curve: the most that TensorBoard's summaries hold
_BUCKETS = 64  # of a histogram; TensorBoard draws 30

Floats = NDArray[np.float64]


class ValidationOutputs(NamedTuple):
    """outputs float64 (N, ...), targets (N, ...) and rows int64 (N,) of the table, by row."""

    outputs: Floats
    targets: NDArray[Any]
    rows: NDArray[np.int64]


def write_figures(writer: Any, found: ValidationOutputs, data: DataModule, title: str, step: int) -> None:
    """Write confusion, errors by label, or predicted against actual values."""
    for name, figure in epoch_views.figures(found.outputs, found.targets, data.kind, data.spec, title):
        write_figure(writer, f"{EPOCHS}/{name}", draw(figure), step)


def write_curves(writer: Any, found: ValidationOutputs, task: Task, data: DataModule, step: int) -> None:
    """Write precision and recall of each class or label for the tab PR Curves."""
    for name, scores, truth in epoch_views.one_vs_rest(found.outputs, found.targets, task, data.spec):
        parts = threshold_counts(scores, truth)
        writer.add_pr_curve_raw(f"{EPOCHS}/{name}", *parts, step, num_thresholds=THRESHOLDS)


def threshold_counts(scores: Floats, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(6, THRESHOLDS): true and false positives, true and false negatives, precision, recall, at rising thresholds.

    scores (N,) in 0 .. 1; threshold k is k / (THRESHOLDS - 1), and a score that equals it is above. Without an answer
    above a threshold precision is 0, as TensorBoard's own summaries have it.
    """
    places = np.clip((scores * (THRESHOLDS - 1)).astype(np.int64), 0, THRESHOLDS - 1)
    # how many of each are at a threshold or above it
    tp, fp = (
        np.bincount(places[part], minlength=THRESHOLDS)[::-1].cumsum()[::-1] for part in (truth, ~truth)
    )
    precision, recall = tp / np.maximum(tp + fp, 1), tp / max(tp[0], 1)
    return np.stack((tp, fp, fp[0] - fp, tp[0] - tp, precision, recall)).astype(np.float64)


def write_samples(
    writer: Any, found: ValidationOutputs, task: Task, data: DataModule, title: str, step: int
) -> None:
    """Write the same validation samples at every epoch, with what is said of them now."""
    places = followed(found.rows, data)
    rows = found.rows[places]
    outputs = found.outputs[places]
    said = epoch_views.answers(outputs, task, data.spec)
    true = epoch_views.truths(found.targets[places], data.kind, data.spec.target_names)
    for name, part, own, there in preview.views(data, rows):
        words = [(said[i], true[i]) for i in there]
        captions = [epoch_views.caption(*each, task.kind) for each in words]
        tag = f"{EPOCHS}/samples" + (f"/{name}" if name else "")
        if part.modality.is_written:
            lines = [(*each, preview.text(part, int(row))) for each, row in zip(words, own, strict=True)]
            writer.add_text(tag, markdown.table_of_texts(("answer", "true", "text"), lines), step)
        elif part.modality.is_sound:
            figure = _sounds(outputs[there], own, captions, task, part, title)
            write_figure(writer, tag, figure, step)
        else:
            write_figure(writer, tag, samples_figure(preview.drawings(part, own), captions, title), step)


def _sounds(
    outputs: Floats,
    rows: NDArray[np.int64],
    captions: Sequence[str],
    task: Task,
    data: DataModule,
    title: str,
) -> Figure:
    """Log-mel spectrograms, with recognised words where they are heard."""
    rate = data.spec.sample_rate
    waves = preview.sounds(data, rows, SECONDS)
    lengths = [len(data.table.inputs.row(int(row))) for row in rows]
    words = epoch_views.places(outputs, task, data.spec, [length / rate for length in lengths])
    return sounds_figure(waves, captions, title, rate, words)


def followed(rows: NDArray[np.int64], data: DataModule) -> NDArray[np.int64]:
    """Places in `rows` (N,), which rise, of the samples that are followed: of each class in turn, always the same."""
    chosen = preview.some_of_each_class(sampling_classes(data.table.index.targets), rows, SAMPLES)
    return np.searchsorted(rows, chosen)


def write_histograms(writer: Any, group: str, values: Mapping[str, torch.Tensor], step: int) -> None:
    """Write a histogram of each tensor under `group`/name; of what is not finite there is none."""
    for name, tensor in values.items():
        x = tensor.numpy().astype(np.float64)
        x = x[np.isfinite(x)]
        if len(x):
            counts, edges = np.histogram(x, _BUCKETS)
            facts = (float(x.min()), float(x.max()), len(x), float(x.sum()), float(x @ x))
            writer.add_histogram_raw(f"{group}/{name}", *facts, edges[1:].tolist(), counts.tolist(), step)
