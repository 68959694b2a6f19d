"""The errors of a finished run, collected for `leyden.reporting.atlas` from its stored predictions and its data.

Nothing is trained, and the run's folder is not changed. Only what is shown is gathered: names of all errors, the
samples themselves of the worst of each class.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.spec import DataSpec
from leyden.health.label_noise import suspects
from leyden.inference.load import config_of, spec_of, tokenizer_of
from leyden.reporting.atlas.atlas import Atlas, Error, Group, Suspect
from leyden.reporting.format import estimate
from leyden.runs.predictions import Stored, checked, path_of, read_predictions, stored_splits
from leyden.runs.run import Run
from leyden.tasks.base import Task
from leyden.tasks.errors import ErrorGroup
from leyden.training import build
from leyden.utils.errors import UserError
from leyden.utils.runtime import prepare

EACH = 20  # of each class, the worst
_PAIRS = 10


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    split: val or test; None: val, where the run has predictions of it.
    each: how many errors of each class are gathered with their samples.
    suspects: whether rows whose label is probably wrong are listed.
    overrides: of the stored configuration, of where the data lie.
    config_dirs: folders of options, beside which code lies that the run needs.
    """

    split: str | None = None
    each: int = EACH
    suspects: bool = False
    overrides: Sequence[str] = ()
    config_dirs: Sequence[str] = ()


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

    def name(self, row: int) -> str:
        """Of a row of the data set: its file, or its place in one."""
        return str(self.data.table.index.names[row])

    def checked(self, make: Any) -> Any:
        """What `make()` gives of the predictions; UserError that names their file where they are damaged."""
        return checked(path_of(self.run.folder, self.split), make)


def predicted(folder: Path, wanted: Wanted) -> Predicted:
    """Read a run's predictions of a split.

    Raises:
        UserError: not a finished run, a damaged file, or data that are not those that it was trained on.
    """
    config = config_of(folder, wanted.config_dirs, wanted.overrides)
    run = Run(folder)
    result = run.result() or {}
    split = wanted.split or next(iter(stored_splits(folder)), "val")
    stored = read_predictions(folder, split)
    prepare(config.threads)
    made = build.experiment(config, tokenizer_of(folder))
    _verify_data(run, made.data)
    found = Predicted(run, result, made.task, spec_of(folder), made.data, split, stored)
    found.checked(lambda: _verify_rows(stored, made.data))
    return found


def _verify_data(run: Run, data: DataModule) -> None:
    """Refuse data that have changed since: the rows would be others."""
    then = run.manifest().get("data")
    if then and data.fingerprint != then:
        raise UserError(
            f"{run.folder}: the data are not those that it was trained on (fingerprint {data.fingerprint[:10]}, "
            f"then {then[:10]}); say where those lie: leyden errors {run.folder} data.source.root=..., or evaluate "
            "the run on these: leyden evaluate"
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


def collect(folder: Path, wanted: Wanted) -> Atlas:
    """The errors of a run.

    Args:
        folder: of the run.
        wanted: what is asked for.

    Raises:
        UserError: as `predicted`.
    """
    of_run = predicted(folder, wanted)
    found = of_run.checked(lambda: of_run.task.errors(of_run.stored, of_run.spec, len(of_run.stored["rows"])))
    listed = [error for group in found for error in _errors(of_run, group)]
    kinds = Counter(error.mistake.kind for error in listed) if of_run.task.kind != "values" else Counter()
    stored = of_run.result.get("metrics", {}).get(of_run.split, {})
    figures = of_run.checked(
        lambda: tuple(of_run.task.figures(stored, of_run.stored, of_run.spec, of_run.split))
    )
    return Atlas(
        folder=str(folder),
        split=of_run.split,
        kind=of_run.task.kind,
        is_text=of_run.data.modality.is_text,
        command=tuple(of_run.run.command()),
        score=_score(of_run.result, stored),
        rows=len(of_run.stored["rows"]),
        wrong=len({error.place for error in listed}),
        groups=tuple(_groups(of_run, found, listed, wanted.each)),
        pairs=tuple(kinds.most_common(_PAIRS)),
        listed=listed,
        figures=figures,
        suspects=suspects_of(of_run) if wanted.suspects else None,
    )


def _errors(of_run: Predicted, group: ErrorGroup) -> list[Error]:
    rows = of_run.stored["rows"]
    return [
        Error(int(place), int(rows[place]), of_run.name(int(rows[place])), group.name, mistake)
        for place, mistake in zip(group.places, group.mistakes, strict=True)
    ]


def _groups(
    of_run: Predicted, found: Sequence[ErrorGroup], listed: Sequence[Error], each: int
) -> Iterator[Group]:
    """Every group, and the worst errors of it; `listed` are those of all groups, one after the other."""
    sizes = _sizes(of_run)
    start = 0
    for group in found:
        own = listed[start : start + len(group.places)]
        start += len(group.places)
        yield Group(
            group.name, group.total, sizes.get(group.name, len(of_run.stored["rows"])), tuple(own[:each])
        )


def _sizes(of_run: Predicted) -> dict[str, int]:
    """How many rows each class has; {}: all rows count for each label and number."""
    labels = of_run.stored.get("labels")
    if of_run.task.kind != "classes" or labels is None:
        return {}
    names = of_run.spec.target_names
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def suspects_of(of_run: Predicted) -> tuple[Suspect, ...]:
    """Rows of the split whose label is probably wrong, the most certain first: confident learning.

    Raises:
        UserError: the targets are no classes.
    """
    if of_run.task.kind != "classes":
        raise UserError(
            f"--suspects: looks for wrong classes, this run has task={of_run.task.name}; leave it out"
        )
    stored, names = of_run.stored, of_run.spec.target_names
    p = stored["probabilities"].astype(np.float64)
    classes = stored.get("classes", np.arange(p.shape[1])[None])
    found = of_run.checked(lambda: suspects(p, stored["labels"], classes))
    likely = np.broadcast_to(classes, p.shape)[np.arange(len(p)), p.argmax(1)]
    return tuple(
        Suspect(
            row=int(stored["rows"][i]),
            name=of_run.name(int(stored["rows"][i])),
            given=names[stored["labels"][i]],
            likely=names[likely[i]],
            score=float(p[i].max()),
        )
        for i in found
        if likely[i] != stored["labels"][i]
    )


def _score(result: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """The watched metric of the split, in words; "" where it has none."""
    name = str((result.get("best") or {}).get("monitor", "")).partition("/")[2]
    value = (stored.get("values") or {}).get(name)
    return f"{name} {estimate(value)}" if value else ""
