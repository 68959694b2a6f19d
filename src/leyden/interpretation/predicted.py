"""A finished run's stored predictions of a split, with the rows of the data set that they are of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.spec import DataSpec
from leyden.inference.load import config_of, spec_of, tokenizer_of
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
    stored = read_predictions(folder, split)
    prepare(config.threads)
    made = build.experiment(config, tokenizer_of(folder))
    verify_data(run, made.data)
    found = Predicted(run, result, made.task, spec_of(folder), made.data, split, stored)
    found.checked(lambda: _verify_rows(stored, made.data))
    return found


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
    if answers is not None and not ((answers >= 0) & (answers < len(index.target_names))).all():
        raise ValueError("`predicted` are not classes of the data set")
