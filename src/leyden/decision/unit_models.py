"""N-gram models over the units that CTC writes: of the units themselves, or of the words that they spell."""

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from leyden.decision.ngram import BEGIN, END, Ngram

Floats = NDArray[np.float64]
State = TypeVar("State", bound=Hashable)
SPACE = "\u2581"  # begins a unit with which a new word begins, as in SentencePiece


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
    """A model of words over units that spell them: a word counts once it is complete, by a space or the end.

    Args:
        model: of sequences of words.
        units: names of the outputs (C,), the blank first; a space is the sign SPACE at a unit's beginning.
    """

    def __init__(self, model: Ngram, units: Sequence[str]) -> None:
        self._model, self._units = model, tuple(units)
        self._states = _States((model.context((BEGIN,)), ""))  # history, and the beginning of a word
        self._opens = np.array([0.0, *(unit.startswith(SPACE) for unit in units[1:])])

    def row(self, state: int) -> tuple[Floats, Floats]:
        """See `ctc_beam.UnitModel`."""
        history, word = self._states[state]
        if not word:
            return np.zeros(len(self._units)), np.zeros(len(self._units))
        return self._opens * self._model.log_prob(word, history), self._opens

    def step(self, state: int, unit: int) -> int:
        """See `ctc_beam.UnitModel`."""
        history, word = self._states[state]
        text = self._units[unit]
        if text.startswith(SPACE):
            history = self._model.context((*history, word)) if word else history
            return self._states.number((history, text.removeprefix(SPACE)))
        return self._states.number((history, word + text))

    def end(self, state: int) -> tuple[float, float]:
        """See `ctc_beam.UnitModel`."""
        history, word = self._states[state]
        if not word:
            return self._model.log_prob(END, history), 0.0
        both = self._model.log_prob(word, history) + self._model.log_prob(END, (*history, word))
        return both, 1.0
