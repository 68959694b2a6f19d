"""Recordings and what is said in them: listed in a table, also stretches of long ones; LibriSpeech's layout."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leyden.data import text_files
from leyden.data.class_names import number
from leyden.data.decode import AUDIO_ENDINGS, BadInput, decode_audio
from leyden.data.fingerprint import digest_files, fingerprint
from leyden.data.index import TEST, TRAIN, VAL, Index
from leyden.data.sources.audio import AudioFolder, AudioManifest, Rate, Seconds
from leyden.data.sources.file_lists import Listing, file_at, folder_at
from leyden.data.sources.tables import TextTable, read_table
from leyden.data.targets import TargetReader
from leyden.data.transcripts import TranscriptReader
from leyden.utils.errors import UserError
from leyden.utils.text import indented_lines, plural


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


class LibriSpeech(AudioFolder):
    """LibriSpeech's layout (Panayotov et al. 2015): recordings in SUBSET/SPEAKER/CHAPTER with a .trans.txt.

    Each line of a .trans.txt is the name of a recording beside it, without its ending, and what is said. The names of
    subsets begin with train, dev or test, which is the split; without this level there is no split. The group is the
    speaker.

    Args:
        root: holds the subsets' folders, or the speakers'.
        subsets: those that are read, such as train-clean-100; (): all that are there.
        sample_rate: Hz to which all are resampled; None: the most common one of the files.
        max_seconds: only the beginning of longer recordings is read.
        reader: makes targets of the transcripts.
    """

    SPLITS: ClassVar[dict[str, int]] = {"train": TRAIN, "dev": VAL, "test": TEST}
    ENDING: ClassVar[str] = ".trans.txt"

    def __init__(
        self,
        root: str,
        subsets: Sequence[str] = (),
        sample_rate: Rate | None = None,
        max_seconds: Seconds | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root, sample_rate, max_seconds, reader or TranscriptReader())
        self._subsets = tuple(subsets)

    @cached_property
    def _transcripts(self) -> list[Path]:
        """Every .trans.txt that is wanted."""
        root = folder_at(self._root)
        found = sorted(root.glob(f"*/*/*{self.ENDING}")) + sorted(root.glob(f"*/*/*/*{self.ENDING}"))
        there = {path.relative_to(root).parts[0] for path in found}
        if missing := [name for name in self._subsets if name not in there]:
            raise UserError(
                f"data.source.subsets: {root} has no {missing[0]}; there are {', '.join(sorted(there))}"
            )
        wanted = self._subsets or there
        found = [path for path in found if path.relative_to(root).parts[0] in wanted]
        if not found:
            raise UserError(f"data.source.root: {root} holds no SUBSET/SPEAKER/CHAPTER/*{self.ENDING}")
        return found

    @cached_property
    def _listing(self) -> Listing:
        root = folder_at(self._root)
        files, texts, split, speakers, missing = [], [], [], [], []
        for path in self._transcripts:
            recordings = {p.stem: p for p in path.parent.iterdir() if p.suffix.lower() in AUDIO_ENDINGS}
            lines = text_files.lines(text_files.decoded(path.read_bytes(), str(path)))
            for place, line in enumerate(lines, 1):
                name, _, text = line.partition(" ")
                if name not in recordings:
                    missing.append(f"{path}:{place}: {name!r}")
                    continue
                files.append(recordings[name].relative_to(root).as_posix())
                texts.append(text)
                split.append(self._split_of(path, root))
                speakers.append(path.parent.parent.name)
        if missing:
            raise UserError(
                f"{plural(len(missing), 'recording')} not beside the transcript:{indented_lines(missing)}"
            )
        given = np.array(split, dtype=np.int8) if min(split) >= 0 else None
        return Listing(str(root), root, files, texts, given, speakers, self._reader)

    def _split_of(self, path: Path, root: Path) -> int:
        """-1: none is given."""
        parts = path.relative_to(root).parts
        if len(parts) == len(("SPEAKER", "CHAPTER", "FILE")):
            return -1
        kind = parts[0].partition("-")[0]
        if kind not in self.SPLITS:
            raise UserError(
                f"{root / parts[0]}: names of subsets begin with {', '.join(self.SPLITS)}; choose by "
                "data.source.subsets"
            )
        return self.SPLITS[kind]

    def fingerprint(self, cache: Path) -> str:
        """Of the recordings' and transcripts' content, rate and length."""
        digests = self._listing.digests(cache) | digest_files(self._transcripts, folder_at(self._root), cache)
        return fingerprint(self, self._arguments(), digests)
