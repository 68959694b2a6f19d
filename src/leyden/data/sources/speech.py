"""SpeechManifest: recordings and what is said in them, listed in a table; also stretches of long recordings."""

from functools import cached_property
from typing import Any

import numpy as np

from leyden.data.class_names import number
from leyden.data.decode import BadInput, decode_audio
from leyden.data.index import Index
from leyden.data.sources.audio import AudioManifest, Rate, Seconds
from leyden.data.sources.file_lists import Listing, file_at
from leyden.data.sources.tables import TextTable, read_table
from leyden.data.targets import TargetReader
from leyden.data.transcripts import TranscriptReader
from leyden.utils.errors import UserError


class SpeechManifest(AudioManifest):
    """Recordings that a CSV, TSV or JSONL file lists, with their transcripts.

    Args:
        csv: the file.
        root: the folder that its paths are relative to; None: the file's own.
        path_column: of the recordings.
        text_column: of the transcripts; an empty one is a recording without words.
        start_column: second at which a row's stretch of the recording begins; None: at its beginning.
        end_column: second at which it ends; None, or an empty cell: at its end.
        split_column: train, val or test; None: none is given.
        speaker_column: the group of each row, over which intervals and splits go; None: not known.
        sample_rate: Hz to which all are resampled; None: the most common one of the files.
        max_seconds: only the beginning of longer recordings is read.
        delimiter: as in TextTable.
        encoding: as in TextTable.
        reader: makes targets of the transcripts.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        path_column: str = "path",
        text_column: str = "text",
        start_column: str | None = None,
        end_column: str | None = None,
        split_column: str | None = None,
        speaker_column: str | None = None,
        sample_rate: Rate | None = None,
        max_seconds: Seconds | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        super().__init__(
            *(csv, root, path_column, text_column, split_column, speaker_column, sample_rate, max_seconds),
            *(delimiter, encoding, reader or TranscriptReader()),
        )
        self._text_column = text_column
        self._bounds = {"start_column": start_column, "end_column": end_column}

    @cached_property
    def _table(self) -> TextTable:
        return read_table(file_at(self._manifest[0], "data.source.csv"), self._written)

    @cached_property
    def _listing(self) -> Listing:
        self._table.column(self._text_column, "data.source.text_column", empty=True)
        return super()._listing

    @cached_property
    def _stretches(self) -> np.ndarray:
        """float64 (N, 2): seconds at which each row begins and ends; NaN: at the recording's own end."""
        table = self._table
        found = np.tile([0.0, np.nan], (len(self._listing), 1))
        for place, (name, column) in enumerate(self._bounds.items()):
            cells = [] if column is None else table.column(column, f"data.source.{name}", empty=True)
            for row, cell in enumerate(cells):
                value = number(cell.strip())
                if cell.strip() and not value >= 0:
                    raise UserError(
                        f"{table.place(row)}: column {column!r} holds {cell!r}; expected seconds, such as 3.5"
                    )
                found[row, place] = value if cell.strip() else found[row, place]
        for row in np.flatnonzero(found[:, 1] <= found[:, 0]).tolist():
            raise UserError(
                f"{table.place(row)}: ends at {found[row, 1]:g} s, and begins at {found[row, 0]:g} s"
            )
        return found

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), **self._bounds}

    def index(self) -> Index:
        """Transcripts, and split and speakers where they are given."""
        _ = self._stretches  # refuses what is no number before anything is decoded
        return super().index()

    def decode(self, row: int) -> np.ndarray:
        """int16 (n,); BadInput for a damaged file, or a stretch beyond its end."""
        start, end = self._stretches[row].tolist()
        listing, rate = self._listing, self._rate
        if start == 0 and np.isnan(end):
            return super().decode(row)
        read = self.max_seconds if np.isnan(end) else end
        wave = decode_audio(listing.path(row), listing.files[row], rate, read)
        first, last = round(start * rate), len(wave) if np.isnan(end) else round(end * rate)
        if first >= len(wave) or last > len(wave) + rate * 0.02:
            raise BadInput(
                listing.files[row], f"has {len(wave) / rate:.2f} s, the row asks for {start:g} to {end:g} s"
            )
        return wave[first:last]
