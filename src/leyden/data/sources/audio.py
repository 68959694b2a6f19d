"""Audio sources: FSDD, SpeechCommands, AudioFolder, AudioManifest. Each row is one recording, int16 mono.

Try one: leyden train data=audio_folder data.source.root=calls data.source.sample_rate=16000
"""

import re
import tarfile
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from leyden.data.decode import AUDIO_ENDINGS, RESAMPLING, audio_rate, decode_audio, is_audio
from leyden.data.fingerprint import digest_files, fingerprint
from leyden.data.index import TEST, TRAIN, VAL, Index
from leyden.data.sources.download import ensure, fetch_file
from leyden.data.sources.file_lists import Listing, folder_at, manifest_digests, read_manifest, scan
from leyden.data.sources.tables import TableFormat
from leyden.data.targets import ClassReader, TargetReader
from leyden.utils.errors import UserError
from leyden.utils.parallel import parallel_map

Rate = Annotated[int, Ge(100)]  # Hz
Seconds = Annotated[float, Gt(0)]


class AudioFolder:
    """Recordings in class folders: root/CLASS/... or root/train|val|test/CLASS/....

    sample_rate: Hz to which all are resampled; without it the most common rate of the files. max_seconds:
    only the beginning of longer recordings is read. Channels are averaged.
    """

    modality: ClassVar[str] = "audio"

    def __init__(
        self,
        root: str,
        sample_rate: Rate | None = None,
        max_seconds: Seconds | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        self._root, self._given_rate, self._max_seconds = root, sample_rate, max_seconds
        self._reader = reader or ClassReader()

    @cached_property
    def _listing(self) -> Listing:
        return scan(self._root, AUDIO_ENDINGS, self._reader, is_audio)

    @cached_property
    def _rate(self) -> int:
        """The rate given, or the most common one in the files' headers (the higher of two as common)."""
        if self._given_rate is not None:
            return self._given_rate
        known = [(count, rate) for rate, count in self.rates().items()]
        if not known:
            listing = self._listing
            raise UserError(f"{listing.where}: no file is readable audio, e.g. {listing.path(0)}")
        return max(known)[1]

    def rates(self) -> dict[int, int]:
        """How many files have each sample rate (Hz) in their header; damaged ones are left out."""
        listing = self._listing
        paths = [listing.path(row) for row in range(len(listing))]
        found = Counter(parallel_map(audio_rate, paths, "reading headers"))
        return {rate: count for rate, count in found.items() if rate is not None}

    @property
    def max_seconds(self) -> float | None:
        """How much of a recording is read at most."""
        return self._max_seconds

    def _arguments(self) -> dict[str, Any]:
        given = {
            "sample_rate": self._given_rate,
            "max_seconds": self._max_seconds,
            "resampling": f"soxr {RESAMPLING}",
        }
        return {**given, **self._reader.settings()}

    def fingerprint(self, cache: Path) -> str:
        """Of the files' content and places below the root, rate and length."""
        return fingerprint(self, self._arguments(), self._listing.digests(cache))

    def index(self) -> Index:
        """Classes, and split and groups where they are given."""
        return self._listing.index()

    def passed_over(self) -> str:
        """Files that are not read, in words."""
        return self._listing.passed_over

    def decode(self, row: int) -> np.ndarray:
        """int16 (n,); BadInput for a damaged file."""
        listing = self._listing
        return decode_audio(listing.path(row), listing.files[row], self._rate, self._max_seconds)

    def facts(self) -> dict[str, Any]:
        """sample_rate in Hz."""
        return {"sample_rate": self._rate}


class AudioManifest(AudioFolder):
    """Recordings that a CSV, TSV or JSONL file lists, with labels and, where named, split and groups.

    csv: the file; root: the folder that its paths are relative to (default: the file's own). sample_rate and
    max_seconds as in AudioFolder, delimiter and encoding as in TextTable.
    """

    def __init__(
        self,
        csv: str,
        root: str | None = None,
        path_column: str = "path",
        label_column: str | list[str] = "label",
        split_column: str | None = None,
        group_column: str | None = None,
        sample_rate: Rate | None = None,
        max_seconds: Seconds | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root or "", sample_rate, max_seconds, reader)
        self._written = TableFormat(delimiter, encoding)
        self._manifest = (csv, root, path_column, label_column, split_column, group_column)

    @cached_property
    def _listing(self) -> Listing:
        return read_manifest(*self._manifest, reader=self._reader, written=self._written)

    def fingerprint(self, cache: Path) -> str:
        """Of the manifest's and the files' content, the columns, rate and length."""
        digests = manifest_digests(self._listing, self._manifest[0], cache)
        written = {"columns": self._manifest[2:], **self._written.settings()}
        return fingerprint(self, {**self._arguments(), **written}, digests)


class FSDD(AudioFolder):
    """Free Spoken Digit Dataset (Jackson et al. 2018): 3,000 recordings of ten digits by six speakers, 8 kHz.

    root: holds recordings/DIGIT_SPEAKER_INDEX.wav. split: "official" tests on index 0 to 4 of each digit and
    speaker; "none" gives no split. The group is the speaker.
    """

    ADDRESS: ClassVar[str] = "https://github.com/Jakobovski/free-spoken-digit-dataset"
    NAME: ClassVar[re.Pattern[str]] = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")
    TESTED: ClassVar[int] = 5  # indices below this are the official test set

    def __init__(
        self,
        root: str,
        split: Literal["official", "none"] = "official",
        sample_rate: Rate = 8000,
        max_seconds: Seconds | None = None,
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root, sample_rate, max_seconds)
        self._split = split

    @cached_property
    def _listing(self) -> Listing:
        folder = Path(self._root).expanduser() / "recordings"
        if not folder.is_dir():
            raise UserError(
                f"data.source.root: {folder} is no folder; expected DIGIT_SPEAKER_INDEX.wav in it. "
                f"Get {self.ADDRESS} and set data_root or data.source.root"
            )
        files = sorted(p.name for p in folder.iterdir() if p.suffix == ".wav")
        matches = [self.NAME.fullmatch(name) for name in files]
        parts = [match.groups() for match in matches if match is not None]
        if not files or len(parts) < len(files):
            wrong = next((name for name, match in zip(files, matches, strict=True) if match is None), "none")
            raise UserError(f"{folder}: expected DIGIT_SPEAKER_INDEX.wav, found {wrong}")
        split = np.array([TEST if int(part[2]) < self.TESTED else TRAIN for part in parts], dtype=np.int8)
        return Listing(
            str(folder),
            folder,
            files,
            [part[0] for part in parts],
            split if self._split == "official" else None,
            [part[1] for part in parts],
        )

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "split": self._split}


class SpeechCommands(AudioFolder):
    """Speech Commands v0.02 (Warden 2018): 105,829 one-second recordings of 35 words, 16 kHz.

    root: holds WORD/SPEAKER_nohash_N.wav, validation_list.txt and testing_list.txt, the official split;
    downloaded where absent (2.4 GB). The group is the speaker; _background_noise_ is left out.
    """

    ADDRESS: ClassVar[str] = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
    SHA256: ClassVar[str] = "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
    LISTS: ClassVar[dict[str, int]] = {"validation_list.txt": VAL, "testing_list.txt": TEST}

    def __init__(
        self,
        root: str,
        sample_rate: Rate = 16000,
        max_seconds: Seconds | None = None,
        download: bool = True,
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root, sample_rate, max_seconds)
        self._download = download

    def _fetch(self, root: Path) -> None:
        archive = root / "speech_commands_v0.02.tar.gz"
        fetch_file(self.ADDRESS, archive, self.SHA256)
        try:
            with tarfile.open(archive) as opened:
                # The lists last: they are what tells a whole folder from one whose unpacking broke off.
                members = sorted(opened.getmembers(), key=lambda m: m.name.removeprefix("./") in self.LISTS)
                opened.extractall(root, members, filter="data")
        finally:
            archive.unlink()

    @cached_property
    def _listing(self) -> Listing:
        root = Path(self._root).expanduser()
        lists = [root / name for name in self.LISTS]
        ensure(lists, self._download, lambda: self._fetch(root), self.ADDRESS, root)
        given = {
            line.strip(): code
            for file, code in zip(lists, self.LISTS.values(), strict=True)
            for line in file.read_text().splitlines()
        }
        words = sorted(
            p for p in folder_at(root).iterdir() if p.is_dir() and not p.name.startswith(("_", "."))
        )
        files = [
            f"{w.name}/{p}" for w in words for p in sorted(x.name for x in w.iterdir()) if p.endswith(".wav")
        ]
        split = np.array([given.get(name, TRAIN) for name in files], dtype=np.int8)
        labels = [name.split("/")[0] for name in files]
        speakers = [name.split("/")[1].split("_")[0] for name in files]
        return Listing(str(root), root, files, labels, split, speakers)

    def fingerprint(self, cache: Path) -> str:
        """Of the files' and the lists' content, rate and length."""
        digests = self._listing.digests(cache)
        root = Path(self._root).expanduser()
        digests |= digest_files([root / name for name in self.LISTS], root, cache)
        return fingerprint(self, self._arguments(), digests)
