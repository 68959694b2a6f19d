"""Prefix beam search for CTC, of many rows at once (NumPy only).

A prefix is the units so far, repeats joined and blanks left out. The probability of a prefix is the sum over all paths
that write it (Graves 2012, section 7.5; Hannun et al. 2014, arXiv:1408.2873), kept in two parts: of the paths that end
in a blank, after which the last unit may come again, and of those that do not. Search that takes the best path instead
of the sum finds what greedy decoding does.

The score of a transcript is  log p_CTC + alpha log p_LM + beta (words, or units, of the language model).
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.probabilities import log_softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_ROOT, _FIRST = -1, 4096  # parent of the empty prefix; prefixes that there is room for at first


class UnitModel(Protocol):
    """A language model as an automaton over unit ids 1 .. C - 1; a state is a number, 0 the first."""

    def row(self, state: int) -> tuple[Floats, Floats]:
        """Of each unit (C,) after a state: log probability that it adds, and how many words it begins."""

    def step(self, state: int, unit: int) -> int:
        """The state after a unit."""

    def end(self, state: int) -> tuple[float, float]:
        """The same two of the end of the transcript."""


class NoModel:
    """Every transcript is as likely as any other."""

    def __init__(self, units: int) -> None:
        self._row = np.zeros(units), np.zeros(units)

    def row(self, state: int) -> tuple[Floats, Floats]:
        """Zeros."""
        return self._row

    def step(self, state: int, unit: int) -> int:
        """The only state."""
        return 0

    def end(self, state: int) -> tuple[float, float]:
        """Zeros."""
        return 0.0, 0.0


class Hypothesis(NamedTuple):
    """A transcript of the beam.

    units: ids. ctc: log of its probability, summed over the paths that stayed in the beam. lm: log of its probability
    under the language model, its end included. words: of the language model (of units, if it is one of units).
    """

    units: tuple[int, ...]
    ctc: float
    lm: float
    words: float

    def score(self, alpha: float, beta: float) -> float:
        """What is maximised."""
        return self.ctc + alpha * self.lm + beta * self.words


def beam_search(
    logits: NDArray[np.floating],
    model: UnitModel,
    alpha: float = 0.0,
    beta: float = 0.0,
    width: int = 16,
) -> list[list[Hypothesis]]:
    """The best transcripts of each row, at most `width`, the best first.

    Args:
        logits: (N, T, C) of units, the blank first; NaN after a row's last frame.
        model: of what is said.
        alpha: weight of its log probability.
        beta: what a word adds to the score: against the preference of products of probabilities for few words.
        width: prefixes that are kept from frame to frame. With all of them the best is the most probable transcript.
    """
    search = _Search(len(logits), logits.shape[2], model, alpha, beta)
    for frame in _log_probabilities(logits).swapaxes(0, 1):
        search.advance(frame, width)
    return search.hypotheses()


def _log_probabilities(logits: NDArray[np.floating]) -> Floats:
    """(N, T, C); after a row's last frame the blank is certain, which changes no prefix and no probability."""
    n, frames, units = logits.shape
    flat = logits.reshape(-1, units).astype(np.float64)
    over = np.isnan(flat[:, 0])
    found = np.full(flat.shape, -np.inf)
    found[over, 0] = 0.0
    found[~over] = log_softmax(flat[~over])
    return found.reshape(n, frames, units)


class _Prefixes:
    """Every prefix that was in the beam of some row, as a tree: number -> parent, last unit, state of the model.

    A prefix has one number however often it leaves the beam and comes back: so its children in the beam find it.
    """

    def __init__(self, rows: int, model: UnitModel) -> None:
        self._model, self._places, self.size = model, dict[tuple[int, int], int](), rows
        self.parent, self.unit, self.state = (np.full(_FIRST + rows, value) for value in (_ROOT, 0, 0))
        self.lm, self.words = np.zeros(_FIRST + rows), np.zeros(_FIRST + rows)

    def extended(self, parents: Integers, units: Integers, lm: Floats, words: Floats) -> Integers:
        """Numbers (K,) of prefixes with one unit more, which adds so much."""
        found = np.empty(len(parents), dtype=np.int64)
        for k, (parent, unit) in enumerate(zip(parents.tolist(), units.tolist(), strict=True)):
            place = self._places.get((parent, unit))
            if place is None:
                place = self._places[parent, unit] = self._add(parent, unit)
                self.lm[place], self.words[place] = self.lm[parent] + lm[k], self.words[parent] + words[k]
            found[k] = place
        return found

    def _add(self, parent: int, unit: int) -> int:
        place, self.size = self.size, self.size + 1
        if place == len(self.parent):
            for name in ("parent", "unit", "state", "lm", "words"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self.parent[place], self.unit[place] = parent, unit
        self.state[place] = self._model.step(int(self.state[parent]), unit)
        return place

    def units(self, place: int) -> tuple[int, ...]:
        """The units of a prefix."""
        found: list[int] = []
        while self.parent[place] != _ROOT:
            found.append(int(self.unit[place]))
            place = int(self.parent[place])
        return tuple(found[::-1])


class _Search:
    """The beams of all rows: `_node` (N, B) prefixes and the log probability of their paths, by how those end.

    A place without a prefix has probability 0 in both parts, and stays so.
    """

    def __init__(self, rows: int, units: int, model: UnitModel, alpha: float, beta: float) -> None:
        self._model, self._weights = model, (alpha, beta)
        self._prefixes = _Prefixes(rows, model)
        self._node = np.arange(rows)[:, None]
        self._blank, self._unit = np.zeros((rows, 1)), np.full((rows, 1), -np.inf)  # paths that end in one
        self._rows = np.zeros((2, 0, units))  # of the model, by state
        self._known = np.zeros(0, dtype=bool)

    def advance(self, frame: Floats, width: int) -> None:
        """One frame (N, C) of log probabilities."""
        prefixes, node = self._prefixes, self._node
        last, total = prefixes.unit[node], np.logaddexp(self._blank, self._unit)
        stays_blank = total + frame[:, :1]
        stays_unit = self._unit + np.take_along_axis(frame, last, axis=1)
        grows = self._grown(frame, total, last)
        self._merge(grows, stays_unit, total, last)
        lm, words = self._of_model(prefixes.state[node])
        own = self._weighted(prefixes.lm[node], prefixes.words[node])
        kept = np.logaddexp(stays_blank, stays_unit) + own
        new = grows + own[:, :, None] + self._weighted(lm, words)[:, :, 1:]
        scores = np.concatenate([kept, new.reshape(len(node), -1)], axis=1)
        best = np.argpartition(-scores, min(width, scores.shape[1]) - 1, axis=1)[:, :width]
        self._keep(best, stays_blank, stays_unit, grows, lm, words)

    def _weighted(self, lm: Floats, words: Floats) -> Floats:
        alpha, beta = self._weights
        return alpha * lm + beta * words

    def _grown(self, frame: Floats, total: Floats, last: Integers) -> Floats:
        """(N, B, C - 1): of each prefix with another unit; with its last one again only after a blank."""
        found = total[:, :, None] + frame[:, None, 1:]
        n, b = np.nonzero(last)
        unit = last[n, b]
        found[n, b, unit - 1] = self._blank[n, b] + frame[n, unit]
        return found

    def _merge(self, grows: Floats, stays_unit: Floats, total: Floats, last: Integers) -> None:
        """A prefix whose parent is in the beam too is also what the parent grows into: those paths are added up."""
        alive = total > -np.inf
        parents = self._prefixes.parent[self._node]
        place = np.full(self._prefixes.size, -1)  # of a prefix in its beam
        place[self._node[alive]] = np.nonzero(alive)[1]
        n, child = np.nonzero(alive & (parents != _ROOT) & (place[parents] >= 0))
        b, unit = place[parents[n, child]], last[n, child] - 1
        stays_unit[n, child] = np.logaddexp(stays_unit[n, child], grows[n, b, unit])
        grows[n, b, unit] = -np.inf

    def _of_model(self, states: Integers) -> tuple[Floats, Floats]:
        """The model's rows of states (N, B): each (N, B, C)."""
        if len(self._known) <= states.max():
            more = 2 * int(states.max()) + 1 - len(self._known)
            self._known = np.pad(self._known, (0, more))
            self._rows = np.pad(self._rows, ((0, 0), (0, more), (0, 0)))
        for state in np.unique(states[~self._known[states]]).tolist():
            self._rows[0, state], self._rows[1, state] = self._model.row(state)
            self._known[state] = True
        return self._rows[0, states], self._rows[1, states]

    def _keep(
        self,
        best: Integers,
        stays_blank: Floats,
        stays_unit: Floats,
        grows: Floats,
        lm: Floats,
        words: Floats,
    ) -> None:
        """Make the beam of places `best` (N, width) among those that stay and those that grow."""
        beams, others = grows.shape[1:]
        n = np.arange(len(best))[:, None]
        is_new = best >= beams
        b, unit = np.where(is_new, (best - beams) // others, best), (best - beams) % others
        blank = np.where(is_new, -np.inf, stays_blank[n, b])
        ends = np.where(is_new, grows[n, b, unit], stays_unit[n, b])
        node = self._node[n, b]
        made = is_new & (ends > -np.inf)
        row, k, u = np.nonzero(made)[0], b[made], unit[made] + 1
        node[made] = self._prefixes.extended(node[made], u, lm[row, k, u], words[row, k, u])
        self._node, self._blank, self._unit = node, blank, ends

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Of each row, the best first."""
        total = np.logaddexp(self._blank, self._unit)
        found = []
        for nodes, ctc in zip(self._node.tolist(), total.tolist(), strict=True):
            ended = [self._ended(node, own) for node, own in zip(nodes, ctc, strict=True) if own > -np.inf]
            found.append(sorted(ended, key=lambda h: h.score(*self._weights), reverse=True))
        return found

    def _ended(self, node: int, ctc: float) -> Hypothesis:
        prefixes = self._prefixes
        lm, words = self._model.end(int(prefixes.state[node]))
        return Hypothesis(
            prefixes.units(node), ctc, float(prefixes.lm[node]) + lm, float(prefixes.words[node]) + words
        )
