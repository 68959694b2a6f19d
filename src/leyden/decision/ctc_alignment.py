"""Where the units and words of a transcript are in a recording, by CTC's outputs (NumPy only).

CTC writes a unit in one or a few frames, somewhere within its sound: an onset and a centre can be read off, an end
cannot (Zeyer et al. 2021, arXiv:2105.14849).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.decision.greedy_ctc import Unit
from leyden.decision.unit_models import SPACE
from leyden.metrics.probabilities import log_softmax

Floats = NDArray[np.float64]


class AlignedWord(NamedTuple):
    """One word of a transcript.

    onset: first frame of its first unit. centre: the middle between that and the last frame of its last unit.
    confidence: the least probability of its units.
    """

    text: str
    onset: float
    centre: float
    confidence: float


def align_units(logits: NDArray[np.floating], units: Sequence[int]) -> list[Unit]:
    """The frames of each unit on the most probable path that writes a transcript (forced alignment, by Viterbi).

    Args:
        logits: (T, C), the blank first; frames of NaN at the end are left out.
        units: ids of the transcript.

    Raises:
        ValueError: no path of so many frames writes it: there are fewer than units and equal neighbours.
    """
    frames = log_softmax(np.asarray(logits[np.isfinite(logits[:, 0])], dtype=np.float64))
    if not units:
        return []
    states = np.zeros(2 * len(units) + 1, dtype=np.int64)  # blank, unit, blank, unit, ..., blank
    states[1::2] = units
    path = _best_path(frames[:, states], states)
    found = []
    for place in range(1, len(states), 2):
        own = np.flatnonzero(path == place)
        sure = float(np.exp(frames[own, states[place]].max()))
        found.append(Unit(int(states[place]), int(own[0]), int(own[-1]) + 1, sure))
    return found


def _best_path(scores: Floats, states: NDArray[np.int64]) -> NDArray[np.int64]:
    """The state (T,) in each frame: from one to the next it stays, goes on by one, or leaves out a blank."""
    frames, count = scores.shape
    skips = np.zeros(count, dtype=bool)
    skips[2:] = states[2:] != states[:-2]  # two blanks are the same
    best = np.full(count, -np.inf)
    moves = np.zeros((frames, count), dtype=np.int64)
    for t in range(frames):
        options = np.full((3, count), -np.inf)
        options[0] = best if t else np.where(np.arange(count) < 2, 0.0, -np.inf)
        options[1, 1:] = best[:-1]
        options[2, skips] = best[:-2][skips[2:]]
        moves[t] = options.argmax(axis=0)
        best = options.max(axis=0) + scores[t]
    state = count - 2 + int(best[-2:].argmax())
    if best[state] == -np.inf:
        raise ValueError(f"{frames} frames are too few for a transcript of {count // 2} units")
    found = np.empty(frames, dtype=np.int64)
    for t in range(frames - 1, -1, -1):
        found[t] = state
        state -= moves[t, state]
    return found


def words_of(aligned: Sequence[Unit], names: Sequence[str]) -> list[AlignedWord]:
    """The words that units spell; a unit that begins with SPACE begins one.

    Args:
        aligned: the units of a transcript.
        names: of all outputs (C,), the blank first.
    """
    found: list[tuple[str, list[Unit]]] = []
    for unit in aligned:
        text = names[unit.id]
        if text.startswith(SPACE) or not found:
            found.append(("", []))
        if letters := text.removeprefix(SPACE):  # a space by itself has no place in a word
            before, units = found[-1]
            found[-1] = before + letters, [*units, unit]
    return [_word(text, units) for text, units in found if units]


def _word(text: str, units: Sequence[Unit]) -> AlignedWord:
    centre = (units[0].start + units[-1].end - 1) / 2
    return AlignedWord(text, units[0].start, centre, min(unit.probability for unit in units))
