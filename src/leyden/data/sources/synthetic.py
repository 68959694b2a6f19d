"""Generated sets with a planted signal: a patch in a picture, a word in a sentence, a tone in a recording.

The class is decided by the signal alone and its place is known (`Index.truth`), so that a fresh machine
trains at once, tests need no files and explanations can be checked against the truth. The signals are the
same for every seed; the seed chooses the samples. Every row has its own generator: any row is made without
the others.
"""

import inspect
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le

from leyden.data.fingerprint import fingerprint
from leyden.data.index import Index, NumberedNames
from leyden.utils.errors import UserError

VERSION = 1  # raise when the values generated from the same arguments change
LABELS, PLACES, CONTENT, SIGNALS = range(4)  # streams of random numbers

Count = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Le(1)]
Seed = Annotated[int, Ge(0)]


class PlantedSignal(NamedTuple):
    """What is drawn for all rows at once: labels int64 (N,), lengths int64 (N,), truth int32 (N, k)."""

    labels: np.ndarray
    lengths: np.ndarray
    truth: np.ndarray


def _labels(num_classes: int, samples: int, counts: Sequence[int] | None, seed: int) -> np.ndarray:
    """int64 (N,), shuffled: as equal as possible, or as many of each class as `counts` says."""
    if counts is None:
        if samples < num_classes:
            raise UserError(f"data.source.samples: {samples} samples cannot show {num_classes} classes")
        labels = np.arange(samples, dtype=np.int64) % num_classes
    else:
        if len(counts) != num_classes or min(counts) < 1:
            raise UserError(
                f"data.source.counts: expected num_classes={num_classes} numbers >= 1, got {list(counts)}"
            )
        labels = np.repeat(np.arange(num_classes, dtype=np.int64), counts)
    return np.random.default_rng([seed, LABELS]).permutation(labels)


def _index(plan: PlantedSignal, word: str, kind: str, num_classes: int) -> Index:
    names = tuple(f"{kind} {c}" for c in range(num_classes))
    return Index(plan.labels, names, names=NumberedNames(word, range(len(plan.labels))), truth=plan.truth)


def _fingerprint(source: object) -> str:
    """Of the constructor's arguments, each kept as the attribute of its name, and the generator's version."""
    values = {name: getattr(source, name) for name in inspect.signature(type(source)).parameters}
    plain = {name: list(v) if isinstance(v, Sequence) else v for name, v in values.items()}
    return fingerprint(source, {**plain, "version": VERSION}, {})


class PlantedImages:
    """Pictures of noise and clutter; a 6x6 pattern at a random place decides the class.

    samples: pictures in all, spread evenly, unless counts gives the number of each class. noise: standard
    deviation of the background, as a share of the full range. clutter: patches of random pattern beside the
    planted one. truth (N, 4): top, left, height, width in pixels.
    """

    modality: ClassVar[str] = "image"
    PATCH: ClassVar[int] = 6  # pixels
    APART: ClassVar[int] = (
        10  # of a patch's 36 pixels: in so many at least do the patterns of two classes differ
    )
    GREY: ClassVar[int] = 128
    CONTRAST: ClassVar[int] = 80  # a pattern's pixels are GREY - CONTRAST and GREY + CONTRAST

    def __init__(
        self,
        num_classes: Annotated[int, Ge(2), Le(100)] = 4,
        samples: Count = 2000,
        size: Annotated[int, Ge(6)] = 28,
        channels: Literal[1, 3] = 1,
        noise: Share = 0.1,
        clutter: Annotated[int, Ge(0)] = 2,
        counts: Sequence[int] | None = None,
        seed: Seed = 0,
    ) -> None:
        """Nothing is read yet."""
        self.num_classes, self.samples, self.counts, self.seed = num_classes, samples, counts, seed
        self.size, self.channels, self.noise, self.clutter = size, channels, noise, clutter

    @cached_property
    def patterns(self) -> np.ndarray:
        """The classes' patterns, uint8 (num_classes, 6, 6), any two at least `APART` pixels apart."""
        rng = np.random.default_rng([VERSION, SIGNALS])
        kept: list[np.ndarray] = []
        while len(kept) < self.num_classes:
            candidate = rng.integers(0, 2, self.PATCH**2)
            if all(np.count_nonzero(candidate != other) >= self.APART for other in kept):
                kept.append(candidate)
        return self._shaded(np.stack(kept).reshape(-1, self.PATCH, self.PATCH))

    def _shaded(self, bits: np.ndarray) -> np.ndarray:
        return (self.GREY + self.CONTRAST * (2 * bits - 1)).astype(np.uint8)

    @cached_property
    def _plan(self) -> PlantedSignal:
        labels = _labels(self.num_classes, self.samples, self.counts, self.seed)
        rng = np.random.default_rng([self.seed, PLACES])
        corners = rng.integers(0, self.size - self.PATCH + 1, (len(labels), 2))
        truth = np.concatenate([corners, np.full_like(corners, self.PATCH)], axis=1)
        return PlantedSignal(labels, np.zeros_like(labels), truth.astype(np.int32))

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generator's version."""
        return _fingerprint(self)

    def index(self) -> Index:
        """Labels and the place of each pattern; no split."""
        return _index(self._plan, "picture", "pattern", self.num_classes)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (channels, size, size)."""
        rng = np.random.default_rng([self.seed, CONTENT, row])
        shape = (self.channels, self.size, self.size)
        image = self.GREY + self.noise * 255 * rng.standard_normal(shape, dtype=np.float32)
        corners = rng.integers(0, self.size - self.PATCH + 1, (self.clutter, 2))
        patches = self._shaded(rng.integers(0, 2, (self.clutter, self.PATCH, self.PATCH)))
        planted = self._plan.truth[row, :2], self.patterns[self._plan.labels[row]]
        # The planted one last, so that nothing covers it.
        for (y, x), patch in [*zip(corners, patches, strict=True), planted]:
            image[:, y : y + self.PATCH, x : x + self.PATCH] = patch
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
STRIDE = 7919  # a prime: neighbouring key words differ in every syllable


def _word(number: int, syllables: int) -> str:
    """A word of so many syllables, another one for each number below 70 ** syllables."""
    parts = []
    for _ in range(syllables):
        number, place = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[place])
    return "".join(parts)


class PlantedText:
    """Sentences of filler words; one key word, one of a few synonyms of its class.

    samples: sentences in all, spread evenly, unless counts gives the number of each class. A sentence has
    min_words to max_words words, separated by single spaces. place: where the key word stands; "first" asks a
    net that reads forwards to remember it to the end. truth (N, 2): first word of the signal, words in it.
    """

    modality: ClassVar[str] = "text"

    def __init__(
        self,
        num_classes: Annotated[int, Ge(2), Le(1000)] = 3,
        samples: Count = 2000,
        min_words: Count = 5,
        max_words: Count = 30,
        place: Literal["random", "first", "last"] = "random",
        fillers: Annotated[int, Ge(1), Le(4900)] = 200,
        synonyms: Annotated[int, Ge(1), Le(100)] = 3,
        counts: Sequence[int] | None = None,
        seed: Seed = 0,
    ) -> None:
        """Nothing is read yet."""
        if max_words < min_words:
            raise UserError(f"data.source.max_words: {max_words} is below min_words={min_words}")
        self.num_classes, self.samples, self.counts, self.seed = num_classes, samples, counts, seed
        self.min_words, self.max_words = min_words, max_words
        self.fillers, self.synonyms, self.place = fillers, synonyms, place

    def keys(self, label: int) -> list[str]:
        """The key words of a class: three syllables, where filler words have two."""
        return [_word(STRIDE * (label * self.synonyms + s), 3) for s in range(self.synonyms)]

    @cached_property
    def _plan(self) -> PlantedSignal:
        labels = _labels(self.num_classes, self.samples, self.counts, self.seed)
        rng = np.random.default_rng([self.seed, PLACES])
        lengths = rng.integers(self.min_words, self.max_words + 1, len(labels))
        random = rng.integers(0, lengths)
        starts = {"random": random, "first": np.zeros_like(random), "last": lengths - 1}[self.place]
        truth = np.stack([starts, np.ones_like(lengths)], axis=1)
        return PlantedSignal(labels, lengths, truth.astype(np.int32))

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generator's version."""
        return _fingerprint(self)

    def index(self) -> Index:
        """Labels and the place of each key word; no split."""
        return _index(self._plan, "sentence", "topic", self.num_classes)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (n,), ASCII."""
        rng = np.random.default_rng([self.seed, CONTENT, row])
        plan = self._plan
        words = [_word(number, 2) for number in rng.integers(0, self.fillers, plan.lengths[row]).tolist()]
        key = rng.integers(0, self.synonyms)
        words[plan.truth[row, 0]] = self.keys(int(plan.labels[row]))[key]
        return np.frombuffer(" ".join(words).encode(), dtype=np.uint8)

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class PlantedAudio:
    """Recordings of noise; a tone burst at a random time, whose frequency decides the class.

    samples: recordings in all, spread evenly, unless counts gives the number of each class. Each lasts
    min_seconds to max_seconds, the burst `burst` seconds. noise: standard deviation, level: the burst's
    amplitude, as shares of the full range. clutter: bursts beside the planted one, whose frequencies lie between
    those of the classes and tell nothing. truth (N, 3): first sample of the burst, samples in it, its
    frequency in Hz.
    """

    modality: ClassVar[str] = "audio"
    LOWEST: ClassVar[float] = 0.04  # of the sample rate: 320 Hz at 8 kHz
    HIGHEST: ClassVar[float] = 0.4  # of the sample rate; half of it is the limit

    def __init__(
        self,
        num_classes: Annotated[int, Ge(2), Le(20)] = 4,
        samples: Count = 1000,
        sample_rate: Annotated[int, Ge(1000)] = 8000,
        min_seconds: Annotated[float, Gt(0)] = 0.5,
        max_seconds: Annotated[float, Gt(0)] = 1.0,
        burst: Annotated[float, Gt(0)] = 0.1,
        noise: Share = 0.05,
        level: Share = 0.3,
        counts: Sequence[int] | None = None,
        seed: Seed = 0,
        clutter: Annotated[int, Ge(0)] = 0,
    ) -> None:
        """Nothing is read yet."""
        if not burst <= min_seconds <= max_seconds:
            raise UserError(
                "data.source: expected burst <= min_seconds <= max_seconds, "
                f"got burst={burst}, min_seconds={min_seconds}, max_seconds={max_seconds}"
            )
        self.num_classes, self.samples, self.counts, self.seed = num_classes, samples, counts, seed
        self.sample_rate, self.min_seconds, self.max_seconds = sample_rate, min_seconds, max_seconds
        self.burst, self.noise, self.level = burst, noise, level
        self.clutter = clutter

    @cached_property
    def frequencies(self) -> np.ndarray:
        """int64 (num_classes,), Hz, equally spaced in pitch."""
        ends = self.LOWEST * self.sample_rate, self.HIGHEST * self.sample_rate
        return np.rint(np.geomspace(*ends, self.num_classes)).astype(np.int64)

    @cached_property
    def _plan(self) -> PlantedSignal:
        labels = _labels(self.num_classes, self.samples, self.counts, self.seed)
        rng = np.random.default_rng([self.seed, PLACES])
        seconds = rng.uniform(self.min_seconds, self.max_seconds, len(labels))
        size = max(1, int(self.burst * self.sample_rate))
        lengths = np.maximum((seconds * self.sample_rate).astype(np.int64), size)
        starts = rng.integers(0, lengths - size + 1)
        truth = np.stack([starts, np.full_like(starts, size), self.frequencies[labels]], axis=1)
        return PlantedSignal(labels, lengths, truth.astype(np.int32))

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generator's version."""
        return _fingerprint(self)

    def index(self) -> Index:
        """Labels and the place of each burst; no split."""
        return _index(self._plan, "recording", "tone", self.num_classes)

    def decode(self, row: int) -> np.ndarray:
        """int16 (n,)."""
        rng = np.random.default_rng([self.seed, CONTENT, row])
        start, size, frequency = self._plan.truth[row].tolist()
        wave = self.noise * rng.standard_normal(self._plan.lengths[row])
        wave[start : start + size] += self._burst(frequency, size, rng)
        for frequency, start in zip(
            self._between(rng), rng.integers(0, len(wave) - size + 1, self.clutter), strict=True
        ):
            wave[start : start + size] += self._burst(frequency, size, rng)
        return np.clip(np.rint(wave * 32767), -32768, 32767).astype(np.int16)

    def _burst(self, frequency: float, size: int, rng: np.random.Generator) -> np.ndarray:
        """float64 (size,)."""
        angles = 2 * np.pi * (frequency / self.sample_rate * np.arange(size) + rng.uniform())
        burst: np.ndarray = self.level * np.hanning(size + 2)[1:-1] * np.sin(angles)
        return burst

    def _between(self, rng: np.random.Generator) -> np.ndarray:
        """float64 (clutter,), Hz: each in the middle third of the interval between two classes' pitches."""
        pitches = np.log(self.frequencies)
        below = rng.integers(0, self.num_classes - 1, self.clutter)
        share = rng.uniform(1 / 3, 2 / 3, self.clutter)
        found: np.ndarray = np.exp(pitches[below] + share * (pitches[below + 1] - pitches[below]))
        return found

    def facts(self) -> dict[str, Any]:
        """sample_rate in Hz."""
        return {"sample_rate": self.sample_rate}
