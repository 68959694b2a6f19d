"""TensorBoard: the logger in the run's folder, and the figures of the evaluation at the end of a run.

IMAGES: confusion matrix, recall by class, precision-recall curves, reliability, worst errors of val and test.
TEXT: tables and findings. AUDIO: recordings of the worst errors. HPARAMS: the run's settings and its result.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from tensorboard.compat.proto.summary_pb2 import Summary

from leyden.callbacks.cpu_budget import CpuBudget
from leyden.callbacks.tensorboard_tags import tag
from leyden.data import preview
from leyden.data.datamodule import DataModule
from leyden.imbalance.auto import describe_imbalance
from leyden.reporting import markdown
from leyden.reporting.plots.draw import draw
from leyden.reporting.plots.fast_figure import png
from leyden.reporting.plots.samples import samples_figure
from leyden.reporting.terminal.findings import markdown as findings_markdown
from leyden.runs.records import flat
from leyden.runs.run import COSMETIC, EVENT_FILES
from leyden.tasks.base import Task
from leyden.utils.lightning_internals import only_own_hooks

Detail = Literal["auto", "light", "full"]

_ALWAYS = ("data.name", "model.name", "optimizer.lr", "batch_size", "seed")
_NO_HPARAM = {*COSMETIC, "threads", "trainer", "data", "model"}  # or covered by another key
_WORST = 16  # worst errors: the wrong predictions with the highest confidence


class RunLogger(TensorBoardLogger):
    """Lightning's logger with TensorBoard's tags for logged names; it writes event files and nothing beside them.

    Args:
        folder: folder of the run.
        resumed_step: see `tensorboard_logger`.
        monitor: the metric that the run watches.
        detail: see `tensorboard_logger`.
    """

    def __init__(self, folder: Path, resumed_step: int | None, monitor: str, detail: Detail) -> None:
        super().__init__(str(folder), name="", version="", default_hp_metric=False, purge_step=resumed_step)
        self.detail, self.budget = detail, CpuBudget(is_limited=detail != "full")
        self.tags: set[str] = set()  # of scalars logged by this process
        self._monitor = monitor

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log values by name, without the epoch, which Lightning adds to every one."""
        named = {tag(name, self._monitor): value for name, value in metrics.items() if name != "epoch"}
        self.tags.update(named)
        super().log_metrics(named, step)

    def save(self) -> None:
        """Write what is queued; Lightning's own also writes hparams.yaml."""
        super(TensorBoardLogger, self).save()


def tensorboard_logger(
    folder: Path, monitor: str, resumed_step: int | None = None, detail: Detail = "auto"
) -> TensorBoardLogger:
    """Logger with event files in `folder`, after which TensorBoard names the run.

    Args:
        folder: folder of the run.
        monitor: the metric that the run watches.
        resumed_step: of a resumed run, the step of its checkpoint: later steps are removed.
        detail: what is shown of the training. light: curves and the first batch; full: pictures, histograms and
            precision-recall curves of every epoch as well; auto: those of as many epochs as take at most 3 % of the
            CPU time (.6 s in runs of less than a CPU minute).
    """
    return RunLogger(folder, resumed_step, monitor, detail)


@only_own_hooks
class EventFiles(Callback):
    """Stores the sizes of the event files in each checkpoint, so that later events can be removed on resuming.

    Args:
        folder: folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Flush TensorBoard's queue (of up to two minutes), then store the sizes."""
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()
        checkpoint["events"] = {
            path.name: path.stat().st_size for path in sorted(self._folder.glob(EVENT_FILES))
        }


def truncate_events(folder: Path, sizes: Mapping[str, int]) -> None:
    """Truncate the event files of the run in `folder` to their `sizes` at a checkpoint; remove later files."""
    for path in sorted(folder.glob(EVENT_FILES)):
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])


def log_hparams(
    logger: TensorBoardLogger, plain: Mapping[str, Any], command: Sequence[str], result: Mapping[str, Any]
) -> None:
    """Log the HPARAMS tab: the settings that were typed, and the test metrics of the run.

    Args:
        logger: logger of the run.
        plain: its configuration.
        command: the words of its command, for the overrides.
        result: content of result.json.
    """
    found = result["metrics"].get("test", {})
    values = {name: estimate["value"] for name, estimate in found.get("values", {}).items()}
    values |= found.get("scalars", {})
    defined = {f"result/{name}": value for name, value in values.items() if value is not None}
    logger.log_hyperparams(_hparams(plain, command), defined)


def _hparams(plain: Mapping[str, Any], command: Sequence[str]) -> dict[str, Any]:
    """Keys logged for every run, then the overrides; TensorBoard shows the first five by default."""
    keys = dict(flat(plain))
    chosen = {key: keys[key] for key in _ALWAYS if key in keys}
    for word in command:
        key, given, value = word.partition("=")
        if given and not key.startswith("-") and key not in _NO_HPARAM:
            chosen[key] = keys.get(key, value)  # for a group: the name of the option
    return {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in chosen.items()}


def write_findings(
    loggers: Iterable[Any], findings: Sequence[Mapping[str, Any]], command: Sequence[str], step: int
) -> None:
    """Write the findings to TensorBoard: as text, and each as a point at the step where it was found.

    Args:
        loggers: loggers of a Trainer; others than TensorBoard's are ignored.
        findings: as in result.json.
        command: the words of the run's command, to which suggestions are appended.
        step: the optimizer step at which the run ended.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("doctor", findings_markdown(findings, command), step)
            for finding in findings:
                if finding["step"] is not None:
                    tag = f"doctor/{finding['level']}/{finding['id']}"
                    logger.experiment.add_scalar(tag, 1.0, finding["step"])


def write_figures(
    writer: Any, result: Mapping[str, Any], task: Task, data: DataModule, predictions: Path, step: int
) -> None:
    """Write the figures and tables of a finished run.

    Args:
        writer: a torch SummaryWriter.
        result: metrics by split, as in result.json.
        task: what the predictions are of.
        data: the data layer, for the samples themselves.
        predictions: folder of the outputs.
        step: the optimizer step that everything is filed under.
    """
    if task.has_class_prior:
        lines = list(describe_imbalance(data.spec.class_counts, data.spec.target_names))
        if result["classes"]:
            lines.append(markdown.classes_markdown(result["classes"], result["prior"]))
        writer.add_text("classes", "\n\n".join(lines), step)
    elif "phases" in result["prior"]:
        writer.add_text("labels", markdown.labels_markdown(data.spec.target_names, result["prior"]), step)
    for split, found in result["metrics"].items():
        writer.add_text(f"{split}/metrics", markdown.metrics_markdown(found), step)
        path = predictions / f"{split}.npz"
        if path.exists():
            stored = dict(np.load(path))
            for name, figure in task.figures(found, stored, data.spec, split):
                _write_figure(writer, f"{split}/{name}", draw(figure), step)
            _write_errors(writer, split, stored, task, data, step)


def _write_errors(
    writer: Any, split: str, stored: Mapping[str, np.ndarray], task: Task, data: DataModule, step: int
) -> None:
    """The samples of the worst errors: drawn, played or as a table of texts."""
    worst, captions = task.errors(stored, data.spec, _WORST)
    if not len(worst):
        return
    rows = stored["rows"][worst]
    if data.modality.is_text:
        texts = [preview.text(data, int(row)) for row in rows]
        lines = zip((caption.replace("\n", ", ") for caption in captions), texts, strict=True)
        writer.add_text(f"{split}/worst errors", markdown.table(("", "text"), lines), step)
        return
    title = f"{split}: worst errors"
    inputs = preview.drawings(data, rows)
    _write_figure(
        writer, f"{split}/worst errors", samples_figure(inputs, captions, title, data.spec.sample_rate), step
    )
    if data.modality.is_sound:
        _write_audio(writer, split, rows, data, step)


def _write_figure(writer: Any, tag: str, figure: Figure, step: int) -> None:
    """Write a figure; faster than `SummaryWriter.add_figure`, which spends most of its time on compression."""
    stored, width, height = png(figure)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=stored)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def _write_audio(writer: Any, split: str, rows: np.ndarray, data: DataModule, step: int) -> None:
    """Write the recordings of the worst errors."""
    clips, lengths = data.table.inputs.gather(rows)
    assert lengths is not None
    for place, (clip, length) in enumerate(zip(clips, lengths.tolist(), strict=True), 1):
        wave = clip[:length].float()[None] / 32768
        writer.add_audio(f"{split}/worst errors/{place}", wave, step, sample_rate=data.spec.sample_rate)
