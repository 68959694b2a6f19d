"""TensorBoard: what a finished run shows: tables, figures of the evaluation, errors, the net, its features.

Views are written in the order in which they are looked at, as long as the budget allows; what it left out is named.
"""

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from matplotlib.figure import Figure
from numpy.typing import NDArray

from leyden.callbacks.tensorboard import RunLogger
from leyden.callbacks.tensorboard_errors import EACH, MOST, ErrorViews
from leyden.callbacks.tensorboard_figures import write_figure
from leyden.callbacks.tensorboard_model import write_model
from leyden.callbacks.tensorboard_projector import write_projector
from leyden.data.datamodule import DataModule
from leyden.imbalance.auto import describe_imbalance
from leyden.modules.features import has_features
from leyden.reporting import markdown
from leyden.reporting.fused_runs import fused_run
from leyden.reporting.plots.draw import draw
from leyden.runs.run import Run
from leyden.tasks.base import Task
from leyden.utils.text import and_more

_NAMED = 8  # views left out
_PROJECTOR = 0.03  # CPU seconds at least; it shows as many samples as there is time for
_KEPT = 0.3  # of the budget, for the net's graph and the projector: a tab without anything is worse than one with less


class Finished(NamedTuple):
    """A run whose result is known.

    Args:
        result: as in result.json; metrics by split.
        task: what the predictions are of.
        data: the data layer, for the samples themselves.
        folder: of the run.
        module: with the weights that were evaluated.
        trainer: that evaluated them.
    """

    result: Mapping[str, Any]
    task: Task
    data: DataModule
    folder: Path
    module: LightningModule
    trainer: Trainer


class ResultViews:
    """Writes what a finished run shows.

    Args:
        logger: of the run; its detail and budget say how much is written.
        run: what is known of it.
    """

    def __init__(self, logger: RunLogger, run: Finished) -> None:
        self._writer, self._budget, self._run = logger.experiment, logger.budget, run
        self._is_light = logger.detail == "light"
        self._step = run.trainer.global_step
        self._left_out: list[str] = []

    def write(self) -> None:
        """Write all; tables are always written.

        Without collecting garbage: tracing a net makes so many objects that the whole heap would be searched, .25 s.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            self._write()
        finally:
            if collects:
                gc.enable()

    def _write(self) -> None:
        with self._budget.spending("tables"):
            self._tables()
            stored = {split: self._stored(split) for split in self._run.result["metrics"]}
        test, val = stored.get("test", {}), stored.get("val", {})
        self._errors("test", test, _KEPT)
        self._figures("test", test)
        self._model()
        self._projector(val)
        self._figures("val", val)
        self._errors("val", val, 0.0)
        if self._left_out:
            names = and_more(self._left_out, _NAMED)
            text = (
                f"Not drawn, to stay within the budget: {names}. `logger.tensorboard.detail=full` draws all."
            )
            self._writer.add_text("left out", text, self._step)

    def _stored(self, split: str) -> dict[str, NDArray[Any]]:
        """Predictions of a split; {}: a module of the user's own keeps none."""
        path = self._run.folder / "predictions" / f"{split}.npz"
        return dict(np.load(path)) if path.exists() else {}

    def _allows(self, view: str, tag: str, keep: float = 0.0) -> bool:
        if self._budget.allows(view, keep):
            return True
        self._left_out.append(tag)
        return False

    def _tables(self) -> None:
        result, task, spec = self._run.result, self._run.task, self._run.data.spec
        if task.has_class_prior:
            lines = list(describe_imbalance(spec.class_counts, spec.target_names))
            if result["classes"]:
                lines.append(markdown.classes_markdown(result["classes"], result["prior"]))
            self._writer.add_text("classes", "\n\n".join(lines), self._step)
        elif "phases" in result["prior"]:
            text = markdown.labels_markdown(spec.target_names, result["prior"])
            self._writer.add_text("labels", text, self._step)
        if inputs := result.get("inputs"):
            known = {**(Run(self._run.folder).result() or {}), **result}
            text = markdown.inputs_markdown(inputs, fused_run(known).beside())
            self._writer.add_text(f"{inputs['split']}/inputs", text, self._step)
        for split, found in result["metrics"].items():
            self._writer.add_text(f"{split}/metrics", markdown.metrics_markdown(found), self._step)

    def _figures(self, split: str, stored: Mapping[str, NDArray[Any]]) -> None:
        run = self._run
        if not stored:
            return
        for name, figure in run.task.figures(run.result["metrics"][split], stored, run.data.spec, split):
            view = f"figure {type(figure).__name__}"
            if self._allows(view, f"{split}/{name}"):
                with self._budget.spending(view):
                    self._draw(f"{split}/{name}", draw(figure))

    def _draw(self, tag: str, figure: Figure) -> None:
        write_figure(self._writer, tag, figure, self._step)

    def _errors(self, split: str, stored: Mapping[str, NDArray[Any]], keep: float) -> None:
        run = self._run
        views = ErrorViews(self._writer, run.data, split, self._step, self._draw)
        with self._budget.spending("tables"):
            groups = run.task.errors(stored, run.data.spec, EACH) if stored else ()
            if groups:
                views.summary(groups, run.task)
        for group in groups[:MOST] if not self._is_light else ():
            if self._allows("errors", f"{split}/errors/{group.name}", keep):
                with self._budget.spending("errors"):
                    views.show(group, stored)

    def _model(self) -> None:
        if not self._is_light and self._allows("model", "the net's graph"):
            with self._budget.spending("model"), self._on_device():
                write_model(self._writer, self._run.module, self._run.data, self._step)

    def _projector(self, stored: Mapping[str, NDArray[Any]]) -> None:
        run = self._run
        if self._is_light or not stored or not has_features(run.module):
            return
        if self._budget.left < _PROJECTOR:
            self._left_out.append("the projector")
            return
        names = run.data.table.index.names
        columns = {
            **run.task.sample_columns(stored, run.data.spec),
            "row": [str(names[int(row)]) for row in stored["rows"]],
        }
        with self._budget.spending("projector"), self._on_device():
            seconds = self._budget.left / 2  # the rest is for the figures of the validation split
            if not write_projector(run.folder, run.module, run.data, stored["rows"], columns, seconds):
                self._left_out.append("the projector")

    def _on_device(self) -> Any:
        """Move the module to where it was trained, which the end of an evaluation leaves; in the run's precision."""
        strategy = self._run.trainer.strategy
        self._run.module.to(strategy.root_device)
        return strategy.precision_plugin.forward_context()
