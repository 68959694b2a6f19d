"""Generated speech: sentences whose words are sequences of tones and follow each other by a known grammar."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from leyden.data.fingerprint import fingerprint
from leyden.data.index import Index, NumberedNames
from leyden.data.sources.synthetic import CONTENT, LABELS, PLACES, SIGNALS
from leyden.data.targets import TargetReader, make_index
from leyden.data.transcripts import TranscriptReader
from leyden.utils.errors import UserError

VERSION = 1  # raise when the recordings generated from the same arguments change
LETTERS = "aeioubdg"  # each is one tone
_LOWEST, _HIGHEST = 400.0, 2400.0  # Hz, of the tones, evenly spaced in octaves
_TONE, _GAP, _PAUSE = (0.06, 0.11), (0.015, 0.03), (0.06, 0.16)  # seconds at least and at most
_LEVEL = 0.1  # amplitude of a tone, as a share of the full range
_LIKELY = 3  # words that mostly follow a word

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]


class Sentences(NamedTuple):
    """What is drawn for all sentences at once.

    words: int64 (N, W), places in the vocabulary, -1 after the last of a sentence. lengths: int64 (N,), words.
    """

    words: NDArray[np.int64]
    lengths: NDArray[np.int64]


class PlantedSpeech:
    """Sentences of words that are spelt in tones, at 8 kHz: a letter is a tone, with a gap after it.

    Between words the gap is longer. Which word follows which is a Markov chain: one of three with probability
    `grammar`, else any (`transitions`). Words and grammar are the same for every seed. truth (N, 2 * max_words): first
    sample of each word and the one after its last, -1 where there is none.

    Args:
        words: of the vocabulary.
        samples: sentences.
        min_words: of a sentence.
        max_words: of a sentence.
        grammar: probability that a word is followed by one of its three likely successors.
        snr_db: power of a tone over that of the noise, in decibels.
        detune: greatest deviation of a tone from its pitch, as a share of the distance to the next.
        seed: of the sentences.
        reader: makes targets of the transcripts.
    """

    modality: ClassVar[str] = "audio"
    SAMPLE_RATE: ClassVar[int] = 8000

    def __init__(
        self,
        words: Annotated[int, Ge(2), Le(64)] = 16,
        samples: Count = 1500,
        min_words: Annotated[int, Ge(0)] = 1,
        max_words: Count = 6,
        grammar: Annotated[float, Ge(0), Le(1)] = 0.9,
        snr_db: float = 0.0,
        detune: Annotated[float, Ge(0), Le(1)] = 0.3,
        seed: Seed = 0,
        reader: TargetReader | None = None,
    ) -> None:
        """Nothing is generated yet."""
        if max_words < min_words:
            raise UserError(f"data.source.max_words: {max_words} is below min_words={min_words}")
        self.words, self.samples, self.seed = words, samples, seed
        self.min_words, self.max_words = min_words, max_words
        self.grammar, self.snr_db, self.detune = grammar, snr_db, detune
        self._reader = reader or TranscriptReader()

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, of two or three letters; no two are the same."""
        rng = np.random.default_rng([VERSION, SIGNALS])
        found: dict[str, None] = {}
        while len(found) < self.words:
            found["".join(rng.choice(list(LETTERS), rng.integers(2, 4)))] = None
        return tuple(found)

    @cached_property
    def transitions(self) -> NDArray[np.float64]:
        """(words, words): the probability of the word of a column after that of a row; the first word is any."""
        rng = np.random.default_rng([VERSION, SIGNALS, 1])
        found = np.full((self.words, self.words), (1 - self.grammar) / self.words)
        likely = min(_LIKELY, self.words)
        for row in found:
            row[rng.choice(self.words, likely, replace=False)] += self.grammar / likely
        return found

    @cached_property
    def _plan(self) -> Sentences:
        rng = np.random.default_rng([self.seed, LABELS])
        lengths = rng.integers(self.min_words, self.max_words + 1, self.samples)
        words = np.full((self.samples, self.max_words), -1)
        words[:, 0] = rng.integers(0, self.words, self.samples)
        cumulated = self.transitions.cumsum(axis=1)
        for place in range(1, self.max_words):
            drawn = rng.random(self.samples)[:, None]
            words[:, place] = (drawn > cumulated[words[:, place - 1]]).sum(axis=1).clip(max=self.words - 1)
        words[np.arange(self.max_words) >= lengths[:, None]] = -1
        return Sentences(words, lengths)

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generator's version."""
        numbers = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        plain = {name: value for name, value in numbers.items() if name not in ("vocabulary", "transitions")}
        return fingerprint(self, {**plain, **self._reader.settings(), "version": VERSION}, {})

    def index(self) -> Index:
        """The transcripts and the place of each word; no split."""
        texts = [self._text(row) for row in range(self.samples)]
        names = NumberedNames("sentence", range(self.samples))
        found = make_index("planted sentences", texts, names, reader=self._reader)
        places = np.full((self.samples, 2 * self.max_words), -1, dtype=np.int32)
        for row, target in enumerate(places):
            own = np.array(self._times(row)[1], dtype=np.int32).reshape(-1)
            target[: len(own)] = own
        return Index(found.targets, found.target_names, names=names, truth=places)

    def _text(self, row: int) -> str:
        plan = self._plan
        return " ".join(self.vocabulary[word] for word in plan.words[row, : plan.lengths[row]])

    def _times(self, row: int) -> tuple[list[tuple[int, int, str]], list[tuple[int, int]], int]:
        """Of a row (first, end, letter) of each tone, (first, end) of each word, and the samples in all."""
        rng = np.random.default_rng([self.seed, PLACES, row])

        def drawn(bounds: tuple[float, float]) -> int:
            return round(rng.uniform(*bounds) * self.SAMPLE_RATE)

        now, tones, words = drawn(_PAUSE), [], []
        for word in self._text(row).split():
            first = now
            for letter in word:
                tones.append((now, end := now + drawn(_TONE), letter))
                now = end + drawn(_GAP)
            words.append((first, end))
            now += drawn(_PAUSE)
        return tones, words, now + drawn(_PAUSE)

    def decode(self, row: int) -> NDArray[np.int16]:
        """int16 (n,)."""
        tones, _, total = self._times(row)
        rng = np.random.default_rng([self.seed, CONTENT, row])
        wave = _LEVEL * np.sqrt(0.5 * 10 ** (-self.snr_db / 10)) * rng.standard_normal(total)
        step = np.log2(_HIGHEST / _LOWEST) / (len(LETTERS) - 1)  # octaves from one tone to the next
        for first, end, letter in tones:
            octaves = step * (LETTERS.index(letter) + self.detune * rng.uniform(-1, 1))
            turns = _LOWEST * 2**octaves * np.arange(end - first) / self.SAMPLE_RATE
            wave[first:end] += _LEVEL * np.hanning(end - first) ** 0.25 * np.sin(2 * np.pi * turns)
        return np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16)

    def facts(self) -> dict[str, Any]:
        """sample_rate in Hz."""
        return {"sample_rate": self.SAMPLE_RATE}
