"""Samples of several inputs for prediction: words such as image=a.png text="...", or the rows of tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leyden.utils.errors import UserError, nearest

if TYPE_CHECKING:
    from leyden.data.batch import Batch, Input
    from leyden.data.modalities import Modality
    from leyden.inference.load import LoadedRun

Sample = dict[str, np.ndarray]  # the decoded inputs that there are, by name


class SampleReader:
    """Reads samples for a run with several inputs.

    Args:
        run: loaded.
        skip_empty: leave out rows of tables that have none of the inputs, which are refused otherwise.
    """

    def __init__(self, run: "LoadedRun", skip_empty: bool = False) -> None:
        self._run, self._source, self._skip_empty = run, run.config.data.source, skip_empty
        self._modalities: Mapping[str, Modality] = run.modality.parts  # type: ignore[attr-defined]
        specs = run.spec.parts.values()
        self._numbers = [name for spec in specs for name in spec.numbers]
        self._categories = {name: values for spec in specs for name, values in spec.categories.items()}

    def read(self, words: Sequence[str]) -> Iterator[tuple[str, Callable[[], Sample]]]:
        """(name, function that decodes it) of each sample: one of words NAME=VALUE, else those of tables' rows.

        Raises:
            UserError: a word is neither, names no input, or a table lacks every column of an input.
        """
        known = self.names()
        if all("=" in word and not Path(word).exists() for word in words):
            cells = dict(word.split("=", 1) for word in words)
            for name in cells:
                if name not in known:
                    raise UserError(f"predict: {name}= is no input of this run; {nearest(name, known)}")
            yield " ".join(words), partial(self._sample, cells, "predict", Path())
            return
        for word in words:
            yield from self._rows(word)

    def names(self) -> list[str]:
        """What a word may begin with: the inputs by name; of numbers and categories the columns."""
        columns = [*self._numbers, *self._categories]
        return [name for name, m in self._modalities.items() if not m.may_repeat] + columns

    def _rows(self, file: str) -> Iterator[tuple[str, Callable[[], Sample]]]:
        from leyden.data.sources.file_lists import file_at
        from leyden.data.sources.tables import TableFormat, is_table, read_table

        if not is_table(Path(file)):
            raise UserError(
                f"{file}: this run has the inputs {', '.join(self._modalities)}: give one sample as "
                f"{' '.join(f'{name}=...' for name in self.names())} (those that there are), or a table (.csv, .tsv, "
                ".jsonl) with a row for each"
            )
        path = file_at(file, "predict")
        table = read_table(path, TableFormat(self._source.get("delimiter"), self._source.get("encoding")))
        columns = {name: str(self._source.get(name) or name) for name in self.names()}
        there = {name: column for name, column in columns.items() if column in table.header}
        if not there:
            raise UserError(
                f"{file}: has none of the columns {', '.join(columns.values())}, which this run reads; its header is "
                f"{', '.join(table.header)}"
            )
        read = {name: table.column(column, "predict", empty=True) for name, column in there.items()}
        for row in range(len(table.rows)):
            cells = {name: cells[row].strip() for name, cells in read.items() if cells[row].strip()}
            if self._skip_empty and not cells:
                continue
            yield table.place(row), partial(self._sample, cells, table.place(row), path.parent)

    def _sample(self, cells: Mapping[str, str], place: str, base: Path) -> Sample:
        """The decoded inputs of named cells; paths are relative to `base`."""
        found = {}
        for name, modality in self._modalities.items():
            spec, cell = self._run.spec.parts[name], cells.get(name)
            if modality.may_repeat:
                values = self._table_row(cells, place)
                if values is not None:
                    found[name] = values
            elif cell and modality.is_text:
                found[name] = modality.encode(cell, self._run.tokenizer)
            elif cell:
                ((_, decode),) = modality.read(str(base / cell), spec, self._run.tokenizer, self._source)
                found[name] = decode()
        if not found:
            raise UserError(f"{place}: has none of the inputs {', '.join(self._modalities)}")
        return found

    def _table_row(self, cells: Mapping[str, str], place: str) -> np.ndarray | None:
        """float32 (D,): numbers, NaN where there is none, and places of categories, 0 where unknown; None: no cell."""
        from leyden.data.class_names import number

        if not any(cells.get(column) for column in (*self._numbers, *self._categories)):
            return None
        found = []
        for column in self._numbers:
            cell = cells.get(column, "")
            value = number(cell) if cell else float("nan")
            if cell and np.isnan(value):
                raise UserError(f"{place}: {column}={cell}: expected a number, or nothing")
            found.append(value)
        for column, names in self._categories.items():
            cell = cells.get(column, "")
            found.append(float(names.index(cell) + 1) if cell in names else 0.0)
        return np.array(found, dtype=np.float32)


def batch_of_samples(run: "LoadedRun", samples: Sequence[Sample]) -> "Batch":
    """Samples as one batch; their numbers stand for rows and targets. An input that none has is not in the batch."""
    import torch

    from leyden.data.batch import Batch
    from leyden.data.joined import spread

    modalities: Mapping[str, Modality] = run.modality.parts  # type: ignore[attr-defined]
    rows, inputs, present = torch.arange(len(samples)), {}, {}
    for name, modality in modalities.items():
        there = torch.tensor([name in sample for sample in samples])
        if there.any():
            pieces = [sample[name] for sample in samples if name in sample]
            inputs[name], present[name] = spread(column_of(modality, pieces), there), there
    return Batch(inputs, rows, rows, rows, present=present)


def column_of(modality: "Modality", inputs: Sequence[np.ndarray]) -> "Input":
    """Decoded inputs of one modality side by side: (B, ...), or padded with their lengths."""
    import torch

    from leyden.data.batch import Input
    from leyden.data.table import pad

    if modality.is_ragged:
        return pad(inputs, inputs[0].dtype)
    return Input(torch.from_numpy(np.stack(inputs)))


def verify_sample(run: "LoadedRun", given: Mapping[str, Any]) -> None:
    """Refuse a sample in Python that names an input that the run has not, or none.

    Raises:
        UserError: with the inputs that there are.
    """
    known = list(run.modality.parts)  # type: ignore[attr-defined]
    for name in given:
        if name not in known:
            raise UserError(f"predict: {name!r} is no input of this run; {nearest(name, known)}")
    if not given:
        raise UserError(f"predict: a sample has none of the inputs {', '.join(known)}")
