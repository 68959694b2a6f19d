"""Runs with several inputs beside runs on each input alone, and beside the product of these: what fusion adds.

A fused net's answer by one input is what it makes of that; a net trained on this input alone is another run
(`data.source.inputs=[NAME]`), of the same data and seed. The product of these, log p = sum log p_m - (M - 1) log prior,
needs no joint training: fusion has to beat it.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.paired import error_difference
from leyden.metrics.results import Estimate
from leyden.reporting.format import estimate, number
from leyden.runs.predictions import Stored, read_predictions
from leyden.runs.records import Record, survey
from leyden.utils.errors import UserError

_INPUTS = "data.source.inputs"
_SOURCE = "data.source."
_OF_ENCODERS = ("init.encoders.", "init.freeze=")  # name what a run on another input has not got
_SMALLEST = 1e-12


@dataclass(frozen=True)
class FusedRun:
    """One run with several inputs.

    Attributes:
        record: of the run.
        metric: by which it is described.
        whole: its value by all inputs.
        alone: its value by each input alone, by the input's name.
        single: the runs on one input alone, by the input's name; those that there are.
        product: accuracy of the product of their answers; None without all of them, or where answers are no classes.
        gain: accuracy less the product's, on the same rows.
    """

    record: Record
    metric: str
    whole: float | None
    alone: Mapping[str, float | None]
    single: Mapping[str, Record]
    product: float | None = None
    gain: Estimate | None = None

    def own(self, name: str) -> float | None:
        """The value of the run on one input alone; None: there is none."""
        return self.single[name].metric(self.split, self.metric) if name in self.single else None

    @property
    def split(self) -> str:
        """Whose rows are measured."""
        return str(self.record.result["inputs"]["split"])

    def missing(self) -> Iterator[str]:
        """The commands of the runs on one input alone that there are not."""
        words = self.record.result.get("command") or ["leyden", "train"]
        kept = [word for word in words if not word.startswith((f"{_INPUTS}=", *_OF_ENCODERS))]
        for name in self.alone:
            if name not in self.single:
                yield shlex.join([*kept, f"{_INPUTS}=[{name}]"])

    def beside(self) -> Iterator[str]:
        """Lines under the table of subsets: the nets of one input and their product, and how to train those missing."""
        if self.single:
            own = ", ".join(f"{name} {number(self.own(name))}" for name in self.single)
            yield f"Nets trained on one input alone, {self.metric}: {own}."
        if self.gain is not None:
            yield (
                f"Product of their answers, accuracy: {number(self.product)}. All inputs less the product, on the same "
                f"rows: {estimate(asdict(self.gain))}."
            )
        for command in self.missing():
            yield f"To compare with a net trained on one input alone: {command}"


def fused_runs(records: Sequence[Record]) -> list[FusedRun]:
    """Every complete run with several inputs, with the runs on one of them that are among the records."""
    whole = [r for r in records if r.state == "complete" and r.result.get("inputs")]
    singles = _singles(records)
    return [_fused(record, singles) for record in whole]


def fused_run(result: Mapping[str, Any]) -> FusedRun:
    """A run with several inputs, with the runs on one of them that lie beside it.

    Args:
        result: result.json with `folder` and `inputs`; the run need not be complete.
    """
    folder = Path(result["folder"])
    return _fused(Record(folder, result), _singles(survey(folder.parent)))


def _singles(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if r.state == "complete" and len(r.keys.get(_INPUTS) or ()) == 1]


def _same(single: Record, fused: Record) -> bool:
    """Whether both are of the same rows and seed."""

    def of(record: Record) -> dict[str, Any]:
        kept = ("seed", "split", "task.name", _SOURCE)
        return {k: v for k, v in record.keys.items() if k.startswith(kept) and k != _INPUTS}

    return of(single) == of(fused)


def _fused(record: Record, every: Sequence[Record]) -> FusedRun:
    singles = [single for single in every if _same(single, record)]
    found = record.result["inputs"]
    values = {tuple(s["inputs"]): s["values"] for s in found["subsets"]}
    everything = found["subsets"][-1]
    metric = next(iter(everything["values"]))
    names = everything["inputs"]
    alone = {name: values[name,][metric]["value"] for name in names if (name,) in values}
    # of several runs on an input, which may differ in the model, the one that validation prefers
    own = {name: [s for s in singles if s.keys[_INPUTS] == [name]] for name in names}
    single = {name: max(runs, key=_by_validation) for name, runs in own.items() if runs}
    made = FusedRun(record, metric, everything["values"][metric]["value"], alone, single)
    if set(single) != set(names):
        return made
    product, gain = _product(made)
    return FusedRun(record, metric, made.whole, alone, single, product, gain)


def _by_validation(record: Record) -> float:
    value = record.best.get("value")
    return float("-inf") if value is None else value if record.best.get("higher_is_better", True) else -value


def _product(run: FusedRun) -> tuple[float | None, Estimate | None]:
    """Accuracy of the product of the runs on one input, and what fusion has more; None where it cannot be had."""
    try:
        fused = read_predictions(run.record.folder, run.split)
        parts = [read_predictions(one.folder, run.split) for one in run.single.values()]
    except UserError:
        return None, None
    if any("probabilities" not in stored or stored["probabilities"].ndim != 2 for stored in (fused, *parts)):
        return None, None
    if any(not _same_rows(stored, fused) for stored in parts):
        return None, None
    labels = fused["labels"]
    logs = [np.log(np.maximum(stored["probabilities"].astype(np.float64), _SMALLEST)) for stored in parts]
    prior = np.array((run.record.result.get("prior") or {}).get("training") or [1.0] * logs[0].shape[1])
    total: NDArray[np.float64] = np.sum(logs, axis=0) - (len(logs) - 1) * np.log(np.maximum(prior, _SMALLEST))
    right, ours = total.argmax(axis=1) == labels, fused["predicted"] == labels
    gain = error_difference(int((~ours & right).sum()), int((ours & ~right).sum()), len(labels))
    return float(right.mean()), gain


def _same_rows(one: Stored, other: Stored) -> bool:
    return all(
        np.array_equal(one.get(name, np.zeros(0)), other.get(name, np.zeros(0)))
        for name in ("rows", "labels")
    )
