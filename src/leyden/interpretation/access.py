"""A finished run's samples as views: rows of its table, or decoded inputs of files, ready to be explained.

access = Access(run, open_data(run))
view = access.of_rows(np.array([3, 17]))     # of what the run answers; or of_rows(rows, outputs=[2, 0])
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.inference.load import LoadedRun, config_of
from leyden.inference.predictor import batch_of, outputs_of, prepared
from leyden.interpretation.baselines import TrainingRows, baseline, fill
from leyden.interpretation.predicted import verify_data
from leyden.interpretation.randomised import untrained
from leyden.interpretation.sights import Cells, Inputs, Waveform, tokens
from leyden.interpretation.view import View
from leyden.training import build
from leyden.utils.errors import UserError, nearest

Rows = NDArray[np.int64]


def open_data(run: LoadedRun, config_dirs: Sequence[str] = (), overrides: Sequence[str] = ()) -> DataModule:
    """The data of a run, as it read them.

    Args:
        run: loaded.
        config_dirs: folders of options, beside which code lies that the run needs.
        overrides: of its configuration: where the data lie now.

    Raises:
        UserError: they are not there or have changed, or a stranger's run names what it may not.
    """
    data = build.experiment(config_of(run.run.folder, config_dirs, overrides), run.tokenizer).data
    verify_data(run.run, data)
    return data


class Access:
    """Makes views of a run's samples.

    Args:
        run: loaded.
        data: its data: rows, and what baselines are made of.
        waveform: see recordings as waveforms, not as the features of the frontend.
        baseline: "" for the default of the modality, or mean, blur, black, unknown, padding, noise.
        seed: of a baseline that is noise.

    Raises:
        UserError: `waveform` of what is no sound.
    """

    def __init__(
        self, run: LoadedRun, data: DataModule, waveform: bool = False, baseline: str = "", seed: int = 0
    ) -> None:
        if waveform and not run.modality.is_sound:
            raise UserError(f"--input waveform: the run is on {run.modality.name}; leave it out")
        self.run, self.data, self._baseline, self._seed = run, data, baseline, seed
        self.is_waveform = waveform or (run.modality.is_sound and self._features_are_waves())
        kept = {"features": 2, "embedding": 2}.get(run.modality.attribute_to, 1)
        self.rows = TrainingRows(run, data, lambda batch: self._see(batch), kept)

    def untrained(self) -> "Access":
        """The same to the net at random weights."""
        return Access(untrained(self.run), self.data, self.is_waveform, self._baseline, self._seed)

    def own(self, values: Any) -> NDArray[Any]:
        """What is explained of a decoded sample: of one input itself."""
        found: NDArray[Any] = values
        return found

    def row(self, row: int) -> int:
        """The row of `data` that a row of the run's table has."""
        return row

    def batch(self, inputs: Sequence[Any]) -> Batch:
        """Decoded samples as the loader would give them."""
        return batch_of(self.run, inputs)

    def _features_are_waves(self) -> bool:
        return prepared(self.run, self._probe).input.values.ndim < 4

    @cached_property
    def _probe(self) -> Batch:
        return self.data.batch_of(self.data.splits.train[:4])

    @cached_property
    def _see(self) -> Callable[[Batch], Inputs]:
        if self.is_waveform:
            return lambda batch: Waveform(self.run, batch)
        by_kind: dict[str, Callable[[], Inputs]] = {
            "embedding": lambda: tokens(self.run, self._probe),
            "cells": lambda: Cells(self.run, self._probe),
        }
        kind = by_kind.get(self.run.modality.attribute_to, lambda: Inputs(self.run, self._probe))()
        return kind.of

    @property
    def unit(self) -> str:
        """What a map has one number for, in words."""
        return self._see(self._probe).unit

    def of_rows(self, rows: Rows, outputs: Sequence[int] = ()) -> View:
        """Rows (B,) of the table.

        Args:
            rows: in any order; texts and recordings are padded to the longest.
            outputs: which output is explained, of each; (), or -1 of one: what the run answers (of labels the most
                probable, of several values the first).

        Raises:
            UserError: a row that there is not.
        """
        total = len(self.data.table)
        for row in rows:
            if not 0 <= row < total:
                raise UserError(f"row {row}: the table has rows 0 to {total - 1:,}")
        return self.of_batch(self.data.batch_of(rows), outputs)

    def of_inputs(self, inputs: Sequence[NDArray[Any]], outputs: Sequence[int] = ()) -> View:
        """Decoded inputs, as `leyden.inference.predictor.read_files` gives them; `outputs` as in `of_rows`."""
        return self.of_batch(self.batch(inputs), outputs)

    def of_batch(self, batch: Batch, outputs: Sequence[int] = ()) -> View:
        """A batch as the loader gives it; `outputs` as in `of_rows`."""
        seen = self._see(batch)
        given = list(outputs)
        if not given or min(given) < 0:
            answers = answered(self.run, batch)
            given = [
                answer if wanted < 0 else wanted
                for answer, wanted in zip(answers, given or answers, strict=True)
            ]
        explained = torch.tensor(given)
        scale, shift = correction(self.run)

        def score(values: Tensor, at: Tensor) -> Tensor:
            chosen = explained[at]
            found = seen.outputs(values, at).gather(1, chosen[:, None])[:, 0]
            return found * scale + shift[chosen]

        absent, named = baseline(self._baseline, seen, batch, self.rows, self._seed)
        filled, filled_name = fill(seen, batch, self.rows, self._seed)
        return View(
            *(seen.values, absent, named, filled, filled_name, seen.places, score),
            scalar=self.scalar(),
            to_units=seen.to_units,
            from_units=seen.from_units,
            outputs=given,
            scalars=[self.scalar(output) for output in given],
            spans=(self.rows.spans[explained] * scale).tolist(),
            window=seen.window,
            references=self.rows.references(seen),
            net=self.run.module,
        )

    def scalar(self, output: int | None = None) -> str:
        """What is explained, in words: of one output, or of whatever is answered."""
        names = self.run.spec.target_names
        name = "the answer" if output is None else repr(names[output])
        if self.run.task.kind == "values":
            return f"value of {name}"
        scale, shift = correction(self.run)
        changed = [
            *(["temperature"] if scale != 1 else []),
            *(["prior correction"] if bool(shift.any()) else []),
        ]
        return f"logit of {name}" + (f" after the run's {' and '.join(changed)}" if changed else "")


def answered(run: LoadedRun, batch: Batch) -> list[int]:
    """The output of each sample of a raw batch that stands for the run's answer."""
    with torch.no_grad():
        outputs = outputs_of(run, prepared(run, batch)).numpy()
    decision: Any = run.decision
    if run.task.kind == "values":
        return [0] * len(outputs)
    if hasattr(decision, "log_probabilities"):
        found: list[int] = decision.decide(decision.log_probabilities(outputs)).tolist()
        return found
    scores: list[int] = run.task.scores(outputs, decision).argmax(1).tolist()
    return scores


def output_of(run: LoadedRun, name: str) -> int:
    """The place of a class, label or value among the outputs.

    Raises:
        UserError: there is none of that name.
    """
    names = run.spec.target_names
    if name not in names:
        raise UserError(f"--target {name}: {nearest(name, names)}")
    return names.index(name)


def correction(run: LoadedRun) -> tuple[float, Tensor]:
    """(1 / temperature, shift float64 (K,)) by which the run makes probabilities of logits."""
    decision: Any = run.decision
    shift = getattr(decision, "shift", ()) or (0.0,) * run.spec.num_outputs
    return 1 / getattr(decision, "temperature", 1.0), torch.tensor(shift, dtype=torch.float64)
