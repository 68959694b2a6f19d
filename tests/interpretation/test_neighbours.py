"""The nearest rows are those of a full sort of all cosines."""

import numpy as np
import pytest

from leyden.interpretation import neighbours
from leyden.interpretation.neighbours import diagnosis, nearest


def some(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 100, 1 << 24])
def test_nearest_is_exact_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    rows, samples = some(90, 0), some(33, 1)
    cosines = (samples / np.linalg.norm(samples, axis=1, keepdims=True)) @ (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
    ).T
    found = nearest(rows, samples, k=4)
    np.testing.assert_array_equal(found.places, np.argsort(-cosines, axis=1)[:, :4])
    np.testing.assert_allclose(found.similarities, -np.sort(-cosines, axis=1)[:, :4], atol=1e-6)


def test_length_does_not_matter_and_a_row_is_not_its_own_neighbour() -> None:
    rows = some(20, 2)
    assert (nearest(rows * 3, rows, k=1).places[:, 0] == np.arange(20)).all()
    others = nearest(rows, rows[5:9], k=19, own=np.arange(5, 9))
    for place, found in enumerate(others.places, 5):
        assert sorted(found) == [row for row in range(20) if row != place]


def test_few_rows_none_and_features_of_zeros() -> None:
    assert nearest(some(3, 0), some(2, 1), k=5).places.shape == (2, 3)
    assert nearest(some(0, 0), some(2, 1)).places.shape == (2, 0)
    assert nearest(some(1, 0), some(1, 0), own=np.array([0])).places.shape == (1, 0)
    assert (nearest(some(4, 0), np.zeros((1, 6), np.float32), k=2).similarities == 0).all()


def test_the_neighbours_labels_in_words() -> None:
    assert diagnosis(np.array([3, 3, 1]), true=1, answered=3).startswith(
        "the nearest training row has the other label"
    )
    assert "its own label, so have 2 of the 3" in diagnosis(np.array([1, 3, 1]), true=1, answered=3)
    assert "a third label" in diagnosis(np.array([0, 3, 1]), true=1, answered=3)
    assert diagnosis(np.array([], dtype=np.int64), 0, 1) == "there are no training rows"
