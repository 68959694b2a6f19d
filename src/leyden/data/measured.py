"""The data that a trained run is measured on: its own again, or others, whose targets are those of the run by name."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from leyden.data.datamodule import DataModule
from leyden.data.distinct_rows import rows_of
from leyden.data.index import SHOWN, TEST, TRAIN, VAL, Index
from leyden.data.joined import Joined
from leyden.data.pieces import in_pieces
from leyden.data.spec import DataSpec
from leyden.data.split import Splits
from leyden.data.table import Dense, Table
from leyden.data.tabular import recoded
from leyden.data.targets import kind_of
from leyden.data.text_files import composed
from leyden.data.transcripts import PADDING
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import and_more, plural


class MeasuredData(DataModule):
    """Data for evaluation alone: they need no training rows, and may lack classes.

    Args:
        data: as a training would read them.
        trained: facts of the data that the run was trained on.
        whole: whether all rows are the test split, copies included.
    """

    _trains: ClassVar[bool] = False

    def __init__(self, data: DataModule, trained: DataSpec, whole: bool) -> None:
        super().__init__(
            *(data.source, data.split, data.long_tail, data.policy, data._tokenizer, data.cache),
            *(data.batch_size, data.seed, data.reading, data.kind, data.pieces),
        )
        self.spec, self._whole = trained, whole

    @cached_property
    def _read(self) -> tuple[Table, np.ndarray]:
        """The table with the run's targets, and whether the run knows the target of each row, bool (N,)."""
        found, names = self._source_table, self.spec.target_names
        read = in_pieces(found.index, names) if self.pieces else found.index
        targets, known = matched(read, names)
        if not known.all() and self.reading.on_bad == "stop":
            raise self._unknown(read, known)
        index = replace(read, targets=targets, target_names=names)
        return replace(found, index=index), known

    def _unknown(self, index: Index, known: np.ndarray) -> UserError:
        run = self.spec.target_names
        names = [name for name in index.target_names if composed(name) not in _composed(run)]
        listed = and_more(list(map(repr, names)), SHOWN)
        return UserError(
            f"{self._where}: {np.count_nonzero(~known):,} of {len(index):,} rows have a target that the run has not, "
            f"{listed}: {nearest(names[0], run)}. Name them so, or leave these rows out: data.on_bad=skip"
        )

    def _part(self, name: str, joined: Joined) -> DataModule:
        """As of a training; the facts stay those of the run."""
        made, trained = super()._part(name, joined), self.spec.parts[name]
        made.spec = trained
        there: dict[str, Any] = made.table.facts
        numbers, categories = tuple(there.get("numbers", ())), tuple(there.get("categories", ()))
        if (numbers, categories) != (trained.numbers, tuple(trained.categories)):
            raise UserError(
                f"{self._where}: the run reads the numbers {', '.join(trained.numbers) or 'none'} and the categories "
                f"{', '.join(trained.categories) or 'none'}: choose data.source.numbers and categories so"
            )
        if trained.categories:
            values = recoded(made.table.inputs.values, there["categories"], trained)
            table = replace(made.table, inputs=Dense(values))
            vars(made).update(table=table, _source_table=table)
        return made

    @property
    def _where(self) -> str:
        return type(self.source).__name__

    @cached_property
    def table(self) -> Table:
        """Every row, with the targets in the run's order."""
        return self._read[0]

    @cached_property
    def kept_rows(self) -> np.ndarray:
        """int64 rows with a target that the run knows; copies too, where all rows are measured."""
        known = self._read[1]
        rows = (
            np.arange(len(known))
            if self._whole
            else rows_of(self.table, self.modality, self.reading.deduplicate)
        )
        return rows[known[rows]]

    def remarks(self) -> Iterator[str]:
        """What was left out, and how much of it."""
        yield from self.reading_remarks()
        unknown = int(np.count_nonzero(~self._read[1]))
        if unknown:
            yield f"left out {plural(unknown, 'row')} with a target that the run does not know (data.on_bad=skip)"
        copies = len(self.table) - unknown - len(self.kept_rows)
        if copies:
            yield f"left out {plural(copies, 'input')} identical to another (data.deduplicate)"

    def leave_out(self, rows: np.ndarray, remark: str) -> None:
        """As of a training; the facts stay those of the run."""
        trained = self.spec
        super().leave_out(rows, remark)
        self.spec = trained

    @cached_property
    def splits(self) -> Splits:
        """All rows in test; else as a training would split them, or as the data do where they have no training rows."""
        kept, given = self.kept_rows, self.table.index.split
        none = np.zeros(0, dtype=np.int64)
        if not len(kept):
            raise UserError(f"{self._where}: no row has a target that the run knows")
        if self._whole:
            return Splits(none, none, kept)
        if given is not None and not (given[kept] == TRAIN).any():
            return Splits(none, kept[given[kept] == VAL], kept[given[kept] == TEST])
        return self.divided(kept)


def _composed(names: tuple[str, ...]) -> dict[str, int]:
    """Name -> its place, in composed Unicode form."""
    return {composed(name): place for place, name in enumerate(names)}


def matched(index: Index, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The targets in the order of a run's names, and whether each row's are all among them.

    Of transcripts, a unit that the run does not know is taken for the blank.

    Args:
        index: of other data, of targets (N,) or (N, K).
        names: of the run's classes, labels or values.

    Returns:
        targets as `index.targets` are, with the run's names (0 for what the run does not know), and bool (N,).

    Raises:
        UserError: a value that the run predicts is not in the data.
    """
    place = _composed(names)
    own = np.array([place.get(composed(name), -1) for name in index.target_names], dtype=np.int64)
    kind = kind_of(index.targets)
    if kind == "classes":
        targets = own[index.targets]
        return np.maximum(targets, 0), targets >= 0
    if kind == "sequences":
        targets = np.where(index.targets < 0, PADDING, np.maximum(own, 0)[index.targets]).astype(np.int32)
        return targets, ~((index.targets > 0) & (own[index.targets] < 0)).any(axis=1)
    missing = [name for name in names if composed(name) not in _composed(index.target_names)]
    if kind == "values" and missing:
        advice = nearest(missing[0], index.target_names)
        raise UserError(f"the data have no {and_more(missing, SHOWN)}, which the run predicts: {advice}")
    found = np.zeros((len(index), len(names)), index.targets.dtype)
    found[:, own[own >= 0]] = index.targets[:, own >= 0]
    known = np.ones(len(index), dtype=bool)
    if kind == "labels":
        known[index.targets[:, own < 0].any(axis=1)] = False
    return found, known
