"""N-gram models over the units that CTC writes: of the units themselves, or of the words that they spell."""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from leyden.decision.ngram import BEGIN, END, UNKNOWN, History, Ngram

Floats = NDArray[np.float64]
State = TypeVar("State", bound=Hashable)
SPACE = "\u2581"  # begins a unit with which a new word begins, as in SentencePiece


def spell(ids: Iterable[int], names: Sequence[str]) -> str:
    """The text of unit ids; ids below 1 (blank, padding) are left out.

    >>> spell([1, 2, 1, -1], ("<blank>", "▁no", "▁on"))
    'no on no'
    """
    return "".join(names[i] for i in ids if i > 0).replace(SPACE, " ").strip()


class _States(Generic[State]):
    """Numbers for states, in the order in which they are met."""

    def __init__(self, first: State) -> None:
        self._numbers, self._states = {first: 0}, [first]

    def number(self, state: State) -> int:
        found = self._numbers.setdefault(state, len(self._states))
        if found == len(self._states):
            self._states.append(state)
        return found

    def __getitem__(self, number: int) -> State:
        return self._states[number]


class UnitNgram:
    """A model whose words are the units: characters, pieces of words, or words.

    Args:
        model: of sequences of units.
        units: names of the outputs (C,), the blank first.
    """

    def __init__(self, model: Ngram, units: Sequence[str]) -> None:
        self._model, self._units = model, tuple(units)
        self._states = _States(model.context((BEGIN,)))
        self._counts = np.r_[0.0, np.ones(len(units) - 1)]

    def row(self, state: int) -> tuple[Floats, Floats]:
        """See `ctc_beam.UnitModel`."""
        context = self._states[state]
        found = [self._model.log_prob(unit, context) for unit in self._units[1:]]
        return np.array([0.0, *found]), self._counts

    def step(self, state: int, unit: int) -> int:
        """See `ctc_beam.UnitModel`."""
        return self._states.number(self._model.context((*self._states[state], self._units[unit])))

    def end(self, state: int) -> tuple[float, float]:
        """See `ctc_beam.UnitModel`."""
        return self._model.log_prob(END, self._states[state]), 0.0


class WordNgram:
    """A model of words over units that spell them.

    A unit adds the change of the log probability that the word begins as it does by then: of all words that go on so,
    and of an unknown one. So the beam is pruned by what the model says of a word's beginning (as by the look-ahead of
    Ortmanns et al. 1996), and a complete word has added log P(word | history), no more and no less.

    Args:
        model: of sequences of words.
        units: names of the outputs (C,), the blank first; a space is the sign SPACE at a unit's beginning.
    """

    def __init__(self, model: Ngram, units: Sequence[str]) -> None:
        self._model, self._units = model, tuple(units)
        self._states = _States((model.context((BEGIN,)), ""))  # history, and the beginning of a word
        self._words: dict[str, list[str]] = {}  # by beginning
        for word in sorted({*model.words} - {END, UNKNOWN}):
            for length in range(1, len(word) + 1):
                self._words.setdefault(word[:length], []).append(word)
        self._begun: dict[tuple[History, str], float] = {}

    def row(self, state: int) -> tuple[Floats, Floats]:
        """See `ctc_beam.UnitModel`."""
        steps = [self._after(*self._states[state], unit) for unit in self._units[1:]]
        return np.array([0.0, *(step[2] for step in steps)]), np.array([0.0, *(step[3] for step in steps)])

    def step(self, state: int, unit: int) -> int:
        """See `ctc_beam.UnitModel`."""
        return self._states.number(self._after(*self._states[state], self._units[unit])[:2])

    def end(self, state: int) -> tuple[float, float]:
        """See `ctc_beam.UnitModel`."""
        history, word = self._states[state]
        return self._completed(history, word) + self._model.log_prob(END, self._later(history, word)), 0.0

    def _after(self, history: History, word: str, unit: str) -> tuple[History, str, float, float]:
        """History and beginning of a word after a unit, what it adds, and how many words it begins."""
        if not unit.startswith(SPACE):
            gain = self._begins(history, word + unit) - self._begins(history, word)
            return history, word + unit, gain, float(not word)
        later, begun = self._later(history, word), unit.removeprefix(SPACE)
        gain = self._completed(history, word) + self._begins(later, begun)
        return later, begun, gain, float(bool(begun))

    def _later(self, history: History, word: str) -> History:
        return self._model.context((*history, word)) if word else history

    def _completed(self, history: History, word: str) -> float:
        """What a word's end adds to what its beginning has added."""
        return self._model.log_prob(word, history) - self._begins(history, word) if word else 0.0

    def _begins(self, history: History, text: str) -> float:
        """Log probability that the next word begins with a text, or is unknown; 0 of no text."""
        if not text:
            return 0.0
        if (history, text) not in self._begun:
            words = [UNKNOWN, *self._words.get(text, ())]
            total = sum(math.exp(self._model.log_prob(word, history)) for word in words)
            self._begun[history, text] = math.log(total)
        return self._begun[history, text]
