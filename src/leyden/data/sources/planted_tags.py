"""Generated sentences with any number of tags: for each a key word among filler words. Multi-label text."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from leyden.data.fingerprint import fingerprint
from leyden.data.index import Index, NumberedNames
from leyden.data.sources.synthetic import CONTENT, LABELS, PLACES, SYLLABLES, PlantedText
from leyden.utils.errors import UserError

VERSION = 1  # raise when the sentences generated from the same arguments change

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]


class TaggedSentences(NamedTuple):
    """What is drawn for all sentences at once.

    tags: uint8 (N, T), 1 where a sentence has the tag. lengths: int64 (N,), words. places: int32 (N, T), the word that
    is the tag's key, -1 where it has none.
    """

    tags: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    places: NDArray[np.int32]


def draw_tags(
    samples: int, num_tags: int, most_tags: int, words: tuple[int, int], seed: int
) -> TaggedSentences:
    """0 to most_tags tags a sentence, each number and each set of so many equally likely, at different words.

    words: at least and at most in a sentence, most_tags or more.
    """
    rng = np.random.default_rng([seed, LABELS])
    rank = np.argsort(rng.random((samples, num_tags)), axis=1)
    has = rank < rng.integers(0, most_tags + 1, samples)[:, None]
    rng = np.random.default_rng([seed, PLACES])
    lengths = rng.integers(words[0], words[1] + 1, samples)
    order = rng.random((samples, words[1]))
    order[np.arange(words[1]) >= lengths[:, None]] = np.inf  # no such word
    shuffled = np.argsort(order, axis=1)[:, :most_tags]
    picked = np.take_along_axis(shuffled, np.where(has, rank, 0), axis=1) if most_tags else rank
    return TaggedSentences(has.astype(np.uint8), lengths, np.where(has, picked, -1).astype(np.int32))


class PlantedTags:
    """Sentences of filler words; for each of its 0 to most_tags tags one key word, one of a few synonyms.

    A sentence has min_words to max_words words, separated by single spaces. truth (N, num_tags): the place of each
    tag's key word, counted in words, -1 where the sentence does not have the tag.
    """

    modality: ClassVar[str] = "text"

    def __init__(
        self,
        num_tags: Annotated[int, Ge(2), Le(1000)] = 8,
        samples: Count = 4000,
        most_tags: Count = 4,
        min_words: Count = 8,
        max_words: Count = 30,
        fillers: Annotated[int, Ge(1), Le(4900)] = 200,
        synonyms: Annotated[int, Ge(1), Le(100)] = 3,
        seed: Seed = 0,
    ) -> None:
        """Nothing is generated yet."""
        if not most_tags <= min_words <= max_words or most_tags > num_tags:
            raise UserError(
                "data.source: expected most_tags <= min_words <= max_words and most_tags <= num_tags, got "
                f"most_tags={most_tags}, min_words={min_words}, max_words={max_words}, num_tags={num_tags}"
            )
        self.num_tags, self.samples, self.most_tags, self.seed = num_tags, samples, most_tags, seed
        self.min_words, self.max_words, self.fillers, self.synonyms = min_words, max_words, fillers, synonyms

    @cached_property
    def _keys(self) -> list[list[str]]:
        """The key words of each tag: three syllables, where filler words have two."""
        words = PlantedText(self.num_tags, synonyms=self.synonyms)
        return [words.keys(tag) for tag in range(self.num_tags)]

    @cached_property
    def _plan(self) -> TaggedSentences:
        words = (self.min_words, self.max_words)
        return draw_tags(self.samples, self.num_tags, self.most_tags, words, self.seed)

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generator's version."""
        numbers = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return fingerprint(self, {**numbers, "version": VERSION}, {})

    def index(self) -> Index:
        """The tags and the places of their key words; no split."""
        plan = self._plan
        names = NumberedNames("sentence", range(self.samples))
        tags = tuple(f"tag {tag}" for tag in range(self.num_tags))
        return Index(plan.tags, tags, names=names, truth=plan.places)

    def decode(self, row: int) -> NDArray[np.uint8]:
        """uint8 (n,), ASCII."""
        rng = np.random.default_rng([self.seed, CONTENT, row])
        numbers = rng.integers(0, self.fillers, self._plan.lengths[row]).tolist()
        words = [SYLLABLES[n % len(SYLLABLES)] + SYLLABLES[n // len(SYLLABLES)] for n in numbers]
        synonym = rng.integers(0, self.synonyms, self.num_tags).tolist()
        for tag in np.flatnonzero(self._plan.tags[row]).tolist():
            words[self._plan.places[row, tag]] = self._keys[tag][synonym[tag]]
        return np.frombuffer(" ".join(words).encode(), dtype=np.uint8)

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}
