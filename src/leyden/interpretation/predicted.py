"""A finished run's stored predictions of a split, with the rows of the data set that they are of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from leyden.data.datamodule import DataModule
from leyden.data.spec import DataSpec
from leyden.data.targets import kind_of
from leyden.data.transcripts import PADDING
from leyden.inference.load import config_of, load, spec_of, tokenizer_of
from leyden.inference.predictor import outputs_of, prepared
from leyden.runs.predictions import Stored, checked, path_of, read_predictions, stored_splits
from leyden.runs.run import Run
from leyden.tasks.base import Task
from leyden.training import build
from leyden.utils.errors import UserError
from leyden.utils.runtime import prepare

T = TypeVar("T")


@dataclass(frozen=True)
class Predicted:
    """A run's stored predictions of a split, with the data that they are of."""

    run: Run
    result: dict[str, Any]
    task: Task
    spec: DataSpec
    data: DataModule
    split: str
    stored: Stored = field(repr=False)

    @property
    def size(self) -> int:
        """How many rows were evaluated."""
        return len(self.stored["rows"])

    def name(self, row: int) -> str:
        """Of a row of the data set: its file, or its place in one."""
        return str(self.data.table.index.names[row])

    def checked(self, make: Callable[[], T]) -> T:
        """What `make()` gives of the predictions; UserError that names their file where they are damaged."""
        return checked(path_of(self.run.folder, self.split), make)


def predicted(
    folder: Path, split: str | None = None, overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()
) -> Predicted:
    """Read a run's predictions of a split.

    Raises:
        UserError: not a finished run, a damaged file, or data that are not those that it was trained on.
    """
    config = config_of(folder, config_dirs, overrides)
    run = Run(folder)
    result = run.result() or {}
    split = split or next(iter(stored_splits(folder)), "val")
    keeps = path_of(folder, split).exists() or not _keeps_none(run, result, split)
    stored = read_predictions(folder, split) if keeps else {}
    prepare(config.threads)
    made = build.experiment(config, tokenizer_of(folder))
    verify_data(run, made.data)
    found = Predicted(run, result, made.task, spec_of(folder), made.data, split, stored)
    if not keeps:
        return _computed(found, config_dirs)
    found.checked(lambda: _verify_rows(stored, made.data))
    return found


def _keeps_none(run: Run, result: Mapping[str, Any], split: str) -> bool:
    """Whether a finished run's module keeps no outputs, so that it must answer again."""
    return (
        run.state() == "complete" and not stored_splits(run.folder) and split in (result.get("metrics") or {})
    )


def _computed(of_run: Predicted, config_dirs: Sequence[str]) -> Predicted:
    """What the module answers now, as the predictions would have been stored, with the metrics of it.

    Raises:
        UserError: its forward(batch) gives no outputs, or some that are not finite.
    """
    run, task = load(of_run.run.folder, config_dirs), of_run.task
    outputs, targets, rows = [], [], []
    with torch.no_grad():
        for batch in of_run.data.evaluation_loader(of_run.split):
            outputs.append(outputs_of(run, prepared(run, batch)).double())
            targets.append(batch.targets)
            rows.append(batch.rows)
    z, y = torch.cat(outputs).numpy(), torch.cat(targets).numpy()
    if not np.isfinite(z).all():
        raise UserError(f"{of_run.run.folder}: its answers to {of_run.split} are not all finite")
    stored = {"rows": torch.cat(rows).numpy(), **task.predictions(z, y, run.decision)}
    measured = task.evaluate(z, y, of_run.spec, run.decision, intervals=True).to_dict()
    metrics = {**of_run.result["metrics"], of_run.split: measured}
    return replace(of_run, stored=stored, result={**of_run.result, "metrics": metrics})


def verify_data(run: Run, data: DataModule) -> None:
    """Refuse data that have changed since: the rows would be others."""
    then = run.manifest().get("data")
    if then and data.fingerprint != then:
        raise UserError(
            f"{run.folder}: the data are not those that it was trained on (fingerprint {data.fingerprint[:10]}, "
            f"then {then[:10]}); say where those lie: data.source.root=... or data_root=..., or evaluate the run on "
            "these: leyden evaluate"
        )


def _verify_rows(stored: Stored, data: DataModule) -> None:
    """Refuse predictions of rows that there are not, or that have other targets."""
    index = data.table.index
    rows = stored["rows"]
    if rows.min() < 0 or rows.max() >= len(index):
        raise ValueError(f"`rows` are not rows of the {len(index):,} of the data set")
    targets = stored.get("labels", stored.get("targets"))
    if targets is not None and not np.array_equal(targets, index.targets[rows].astype(targets.dtype)):
        raise ValueError("its targets are not those of the data set")
    answers = stored.get("predicted")
    least = PADDING if kind_of(index.targets) == "sequences" else 0
    if answers is not None and not ((answers >= least) & (answers < len(index.target_names))).all():
        raise ValueError("`predicted` are not classes of the data set")
