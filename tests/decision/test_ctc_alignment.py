"""Forced alignment against all paths of small lattices, and words by hand."""

from itertools import product

import numpy as np
import pytest

from leyden.decision.ctc_alignment import AlignedWord, align_units, words_of
from leyden.decision.greedy_ctc import Unit
from leyden.decision.unit_models import SPACE


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(u for u, before in zip(path, (0, *path), strict=False) if u and u != before)


def test_the_path_is_the_most_probable_one_that_writes_the_transcript() -> None:
    rng = np.random.default_rng(0)
    paths = list(product(range(3), repeat=6))
    for _ in range(200):
        logits, units = rng.normal(size=(6, 3)), tuple(rng.integers(1, 3, rng.integers(1, 4)).tolist())
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        own = [path for path in paths if collapsed(path) == units]
        best = max(own, key=lambda path: sum(log_p[range(6), path]))
        found = align_units(logits, units)
        assert tuple(unit.id for unit in found) == units
        written = np.zeros(6, dtype=int)
        for unit in found:
            written[unit.start : unit.end] = unit.id
            assert unit.probability == pytest.approx(np.exp(log_p[unit.start : unit.end, unit.id].max()))
        assert tuple(written) == best


def test_frames_after_the_last_are_left_out() -> None:
    logits = np.random.default_rng(1).normal(size=(5, 3))
    padded = np.vstack([logits, np.full((3, 3), np.nan)])
    assert align_units(padded, [1, 2]) == align_units(logits, [1, 2])
    assert align_units(padded, []) == []


def test_a_transcript_that_needs_more_frames_is_refused() -> None:
    """1, 1, 2 needs four: a blank between the two ones."""
    logits = np.zeros((4, 3))
    assert [unit.id for unit in align_units(logits, [1, 1, 2])] == [1, 1, 2]
    with pytest.raises(ValueError, match="3 frames are too few for a transcript of 3 units"):
        align_units(logits[:3], [1, 1, 2])


def test_words_of_letters_and_of_words() -> None:
    names = ("<blank>", SPACE, "a", "b", f"{SPACE}no")
    letters = [
        Unit(2, 3, 4, 0.9),
        Unit(3, 6, 8, 0.5),
        Unit(1, 9, 12, 0.1),
        Unit(2, 14, 15, 0.8),
    ]
    assert words_of(letters, names) == [AlignedWord("ab", 3, 5.0, 0.5), AlignedWord("a", 14, 14.0, 0.8)]
    words = [Unit(4, 2, 5, 0.7), Unit(4, 9, 10, 0.6)]
    assert words_of(words, names) == [AlignedWord("no", 2, 3.0, 0.7), AlignedWord("no", 9, 9.0, 0.6)]
    assert words_of([], names) == []
