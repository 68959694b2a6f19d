"""Greedy decoding: repeats joined, blanks left out, padding ignored."""

import itertools

import numpy as np
import pytest

from leyden.decision.greedy_ctc import GreedyDecoding


def logits_of(path: list[int], units: int = 4, frames: int | None = None) -> np.ndarray:
    """(T, C) whose most probable path is this, NaN after it."""
    found = np.full((frames or len(path), units), np.nan)
    found[: len(path)] = 0.0
    found[np.arange(len(path)), path] = 2.0
    return found


def test_repeats_are_joined_and_blanks_left_out() -> None:
    rows = [[0, 1, 1, 0, 1, 2, 2, 0], [3], [0, 0]]
    outputs = np.stack([logits_of(row, frames=8) for row in rows])
    assert GreedyDecoding().decode(outputs) == [[1, 1, 2], [3], []]


def test_units_know_their_frames_and_probability() -> None:
    (row,) = GreedyDecoding().units(logits_of([0, 1, 1, 2], frames=6)[None])
    assert [(u.id, u.start, u.end) for u in row] == [(1, 1, 3), (2, 3, 4)]
    assert row[0].probability == pytest.approx(np.exp(2) / (np.exp(2) + 3))


def test_as_by_hand_on_random_rows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        outputs = rng.normal(size=(1, 7, 3))
        path = outputs[0].argmax(1).tolist()
        assert GreedyDecoding().decode(outputs) == [[u for u, _ in itertools.groupby(path) if u]]


def test_stored_and_loaded() -> None:
    made = GreedyDecoding()
    assert GreedyDecoding.from_dict(made.to_dict()) == made
    with pytest.raises(ValueError, match="expected criterion greedy"):
        GreedyDecoding.from_dict({"criterion": "else"})
