"""The errors of a run beside those of another on the same rows: which it mended, and which it made."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.data.targets import describe_target
from leyden.interpretation.predicted import Predicted
from leyden.metrics.error_rates import paired_difference
from leyden.metrics.paired import error_difference, mcnemar
from leyden.metrics.results import Estimate
from leyden.reporting.atlas.atlas import Comparison, Error
from leyden.utils.errors import UserError
from leyden.utils.text import plural


def compare(
    here: Predicted, there: Predicted, listed: Sequence[Error], others: Sequence[Error]
) -> Comparison:
    """Match the rows of two runs, and their errors.

    Args:
        here: the run whose errors are shown.
        there: the other.
        listed: errors of the run.
        others: those of the other.

    Raises:
        UserError: they are not of the same rows, or of a task where nothing is right or wrong.
    """
    _verify_task(here, there)
    place_there = _matched(here, there)
    own, other = ({error.place: error for error in reversed(errors)} for errors in (listed, others))
    back = {int(place): i for i, place in enumerate(place_there)}
    wrong_there = {back[place]: error for place, error in other.items()}
    mended = [error for place, error in own.items() if place not in wrong_there]
    made = [error for place, error in wrong_there.items() if place not in own]
    found = error_difference(len(mended), len(made), here.size)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return Comparison(
        other=str(there.run.folder),
        rows=here.size,
        both=len(own) - len(mended),
        mended=tuple(_worst_first(mended)),
        made=tuple(_worst_first(made)),
        difference=found.value,
        low=found.low,
        high=found.high,
        p=mcnemar(len(mended), len(made)),
        wer=_wer(here, there, place_there) if here.task.kind == "sequences" else None,
    )


def _wer(here: Predicted, there: Predicted, place_there: NDArray[np.int64]) -> Estimate:
    """Word error rate of the other run less that of this one, paired by speaker where they are known."""
    own, other = (run.task.sample_columns(run.stored, run.spec) for run in (here, there))
    answered = [other["answered"][place] for place in place_there]
    index, rows = here.data.table.index, here.stored["rows"]
    speakers = None if index.group is None else [index.group_names[g] for g in index.group[rows].tolist()]
    return paired_difference(own["true"], answered, own["answered"], speakers)


def _worst_first(errors: Sequence[Error]) -> list[Error]:
    return sorted(errors, key=lambda error: -error.mistake.loss)


def _verify_task(here: Predicted, there: Predicted) -> None:
    if here.task.kind == "values":
        raise UserError(
            "--against: compares which rows are right and wrong; numbers are neither. `leyden report RUN RUN` compares "
            "their metrics"
        )
    names = [sorted(run.spec.target_names) for run in (here, there)]
    if here.task.kind == "sequences":  # of which units a transcript is made is the runs' own matter
        names = [[], []]
    if here.task.kind != there.task.kind or names[0] != names[1]:
        raise UserError(f"--against {there.run.folder}: it predicts something else than {here.run.folder}")


def _matched(here: Predicted, there: Predicted) -> NDArray[np.int64]:
    """The place of each row (N,) of `here` in the other's predictions.

    By the number of the row where the data are the same, else by its name and target.
    """
    if here.data.fingerprint == there.data.fingerprint:
        keys: list[list[object]] = [list(map(int, run.stored["rows"])) for run in (here, there)]
    else:
        keys = [_named(run) for run in (here, there)]
    own, other = (set(each) for each in keys)
    if own != other or len(own) != here.size or len(other) != there.size:
        raise UserError(
            f"--against {there.run.folder}: its {there.split} split has {plural(there.size, 'row')}, that of "
            f"{here.run.folder} {here.size:,}, and {len(own & other):,} are the same by name and target: compare runs "
            "on the same data and split (data=..., split=...)"
        )
    place = {key: i for i, key in enumerate(keys[1])}
    return np.array([place[key] for key in keys[0]], dtype=np.int64)


def _named(run: Predicted) -> list[object]:
    """(name, target in words) of each row: a generated set has the same names with other targets."""
    index, rows = run.data.table.index, run.stored["rows"].tolist()
    said = (describe_target(index.targets[row], index.target_names) for row in rows)
    return [(run.name(row), *sorted(words.split(", "))) for row, words in zip(rows, said, strict=True)]
