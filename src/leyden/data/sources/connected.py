"""Connected words: recordings of one word each, set one after the other with gaps, and the transcript of the string."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from leyden.data.decode import BadInput
from leyden.data.fingerprint import fingerprint
from leyden.data.index import TEST, TRAIN, VAL, Index, PackedStrings
from leyden.data.sources.audio import FSDD, AudioFolder, Rate, Seconds
from leyden.data.sources.derived import with_validation
from leyden.data.targets import TargetReader, make_index
from leyden.data.transcripts import TranscriptReader
from leyden.utils.errors import UserError
from leyden.utils.parallel import parallel_map

VERSION = 1  # raise when the recordings made of the same arguments change
_TESTED = 5  # strings of a speaker, so many to one, where no split is given

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]


class ConnectedWords:
    """Strings of recordings in class folders (root/CLASS/...): the transcript is the names of the classes.

    The words of a string are of one part of the split and, where recordings have groups, of one speaker. Between them
    is silence of a random length. truth (N, 2 * max_words): first sample of each word and the one after its last, -1
    where there is none.
    A recording is used in several strings. Without a split in the folders, training, validation and test have their
    own recordings of each class.

    Args:
        root: as AudioFolder's.
        strings: for training; a tenth as many for validation.
        test_strings: for testing.
        min_words: of a string.
        max_words: of a string.
        gap: seconds between two words, at least and at most; also before the first and after the last.
        sample_rate: Hz; None: the most common one of the files.
        max_seconds: only the beginning of longer recordings is read.
        seed: of what is put together.
        reader: makes targets of the transcripts.
    """

    modality: ClassVar[str] = "audio"

    def __init__(
        self,
        root: str,
        strings: Count = 3_000,
        test_strings: Count = 750,
        min_words: Annotated[int, Ge(0)] = 1,
        max_words: Count = 7,
        gap: tuple[float, float] = (0.05, 0.3),
        sample_rate: Rate | None = None,
        max_seconds: Seconds | None = None,
        seed: Seed = 0,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        self._setup(
            AudioFolder(root, sample_rate, max_seconds),
            strings,
            test_strings,
            min_words,
            max_words,
            gap,
            seed,
            reader,
        )

    def _setup(
        self,
        clips: AudioFolder,
        strings: int,
        test_strings: int,
        min_words: int,
        max_words: int,
        gap: Sequence[float],
        seed: int,
        reader: TargetReader | None,
    ) -> None:
        """Keep the arguments; refuse ranges that are none."""
        for name, (low, high) in {"words": (min_words, max_words), "gap": gap}.items():
            if not 0 <= low <= high:
                raise UserError(f"data.source: {name}: {low} to {high} is no range")
        self._clips, self._sizes, self._seed = (
            clips,
            {TRAIN: strings, VAL: -(-strings // 10), TEST: test_strings},
            seed,
        )
        self._words, self._gap, self._reader = (
            (min_words, max_words),
            (gap[0], gap[1]),
            reader or TranscriptReader("words"),
        )

    @cached_property
    def _index(self) -> Index:
        return self._clips.index()

    @cached_property
    def _parts(self) -> NDArray[np.int8]:
        """The split of each recording."""
        index = self._index
        if index.split is not None and (index.split == TEST).any():
            return with_validation(index.targets, index.split)
        place = np.zeros(len(index), dtype=np.int64)  # among those of its class
        for label in range(len(index.target_names)):
            own = index.targets == label
            place[own] = np.arange(own.sum())
        tested = np.where(place % _TESTED == 0, TEST, TRAIN).astype(np.int8)
        return with_validation(index.targets, tested)

    @cached_property
    def _plan(self) -> tuple[list[NDArray[np.int64]], NDArray[np.int8], NDArray[np.int64]]:
        """Of each string its recordings (n,), the part of the split, and the speaker (0 where none is known)."""
        found, split, speakers = [], [], []
        for part, count in self._sizes.items():
            rng = np.random.default_rng([self._seed, part])
            rows = self._rows_by_speaker(part)
            drawn = rng.integers(0, len(rows), count)
            lengths = rng.integers(self._words[0], self._words[1] + 1, count)
            for speaker, length in zip(drawn.tolist(), lengths.tolist(), strict=True):
                own, number = rows[speaker]
                found.append(own[rng.integers(0, len(own), length)])
                split.append(part)
                speakers.append(number)
        return found, np.array(split, dtype=np.int8), np.array(speakers, dtype=np.int64)

    def _rows_by_speaker(self, part: int) -> list[tuple[NDArray[np.int64], int]]:
        """The recordings of each speaker in a part of the split, with the speaker's number."""
        index = self._index
        group = np.zeros(len(index), dtype=np.int64) if index.group is None else index.group
        rows = np.flatnonzero(self._parts == part)
        if not len(rows):
            raise UserError(
                f"{index.where}: too few recordings of each class for training, validation and test"
            )
        return [(rows[group[rows] == speaker], int(speaker)) for speaker in np.unique(group[rows])]

    @property
    def _given_split(self) -> NDArray[np.int8] | None:
        return self._plan[1]

    def fingerprint(self, cache: Path) -> str:
        """Of the recordings and the arguments."""
        arguments = {
            "sizes": list(self._sizes.values()),
            "words": self._words,
            "gap": self._gap,
            "seed": self._seed,
        }
        digests = {"recordings": self._clips.fingerprint(cache)}
        return fingerprint(self, {**arguments, **self._reader.settings(), "version": VERSION}, digests)

    def index(self) -> Index:
        """Transcripts, split, speakers, and the place of each word, for which all recordings are read once."""
        found, _, speakers = self._plan
        index = self._index
        texts = [" ".join(index.target_names[label] for label in index.targets[rows]) for rows in found]
        names = PackedStrings.of(
            " + ".join(index.names[row] for row in rows.tolist()) or "silence" for rows in found
        )
        groups = None if index.group is None else [index.group_names[speaker] for speaker in speakers]
        where = f"strings of {index.where}"
        made = make_index(where, texts, names, self._given_split, groups, self._reader)
        truth = np.full((len(found), 2 * self._words[1]), -1, dtype=np.int32)
        for row, target in enumerate(truth):
            own = self._places(row)[0].reshape(-1)
            target[: len(own)] = own
        return replace(made, truth=truth)

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        """Samples of each recording; 0 of a damaged one, by which `decode` will stop."""
        found = parallel_map(self._length, range(len(self._index)), "measuring recordings")
        return np.fromiter(found, dtype=np.int64)

    def _length(self, clip: int) -> int:
        try:
            return len(self._clips.decode(clip))
        except BadInput:
            return 0

    def _places(self, row: int) -> tuple[NDArray[np.int64], int]:
        """Of a string (n, 2): first sample of each word and the one after its last; and the samples in all."""
        rng = np.random.default_rng([self._seed, 3, row])
        lengths = self._lengths[self._plan[0][row]]
        gaps = np.rint(rng.uniform(*self._gap, len(lengths) + 1) * self.facts()["sample_rate"]).astype(
            np.int64
        )
        ends = np.cumsum(gaps[:-1] + lengths)
        return np.stack([ends - lengths, ends], axis=1), max(1, int(gaps.sum() + lengths.sum()))

    def decode(self, row: int) -> NDArray[np.int16]:
        """int16 (n,); BadInput for a damaged file."""
        places, total = self._places(row)
        wave = np.zeros(total, dtype=np.int16)
        for (first, end), clip in zip(places.tolist(), self._plan[0][row].tolist(), strict=True):
            wave[first:end] = self._clips.decode(clip)
        return wave

    def facts(self) -> dict[str, Any]:
        """sample_rate in Hz."""
        return self._clips.facts()


class ConnectedDigits(ConnectedWords):
    """Strings of the Free Spoken Digit Dataset, each by one speaker; the group is the speaker.

    Args:
        root: as FSDD's.
        split: "official" tests on strings of the official test recordings (index 0 to 4 of a digit and speaker, 300 in
            all), and trains and validates on strings of the others; "none" gives no split, for one by speakers.
        strings: for training; a tenth as many for validation.
        test_strings: for testing.
        min_words: of a string.
        max_words: of a string.
        gap: seconds between two digits, at least and at most; also before the first and after the last.
        sample_rate: Hz.
        seed: of what is put together.
        reader: makes targets of the transcripts.
    """

    def __init__(
        self,
        root: str,
        split: Literal["official", "none"] = "official",
        strings: Count = 3_000,
        test_strings: Count = 750,
        min_words: Annotated[int, Ge(0)] = 1,
        max_words: Count = 7,
        gap: tuple[float, float] = (0.05, 0.3),
        sample_rate: Rate = 8000,
        seed: Seed = 0,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is read yet."""
        clips = FSDD(root, sample_rate=sample_rate)
        self._setup(clips, strings, test_strings, min_words, max_words, gap, seed, reader)
        self._is_split = split == "official"

    @property
    def _given_split(self) -> NDArray[np.int8] | None:
        return super()._given_split if self._is_split else None

    def fingerprint(self, cache: Path) -> str:
        """Of the recordings and the arguments."""
        return fingerprint(self, {"split": self._is_split}, {"strings": super().fingerprint(cache)})
