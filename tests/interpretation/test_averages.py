"""Maps averaged by class."""

import numpy as np
import pytest

from leyden.interpretation.averages import FRAMES, TokenMean, mean_maps, mean_tokens


def of(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_pictures_of_one_size_are_averaged_by_class() -> None:
    maps = [of(1, 2).reshape(1, 2), of(3, 6).reshape(1, 2), of(-1, 0).reshape(1, 2)]
    found = mean_maps(maps, ["b", "b", "a"])
    assert list(found) == ["b", "a"]
    assert found["b"].tolist() == [[2, 4]]
    assert found["a"].tolist() == [[-1, 0]]
    assert mean_maps([*maps, of(1, 2, 3)], ["b", "b", "a", "a"]) == {}


def test_recordings_are_stretched_to_one_length_and_keep_their_sums() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(5, frames)).astype(np.float32) for frames in (7, FRAMES, 130)]
    for values in maps:
        (found,) = mean_maps([values], ["a"], stretches=True).values()
        assert found.shape == (5, FRAMES)
        np.testing.assert_allclose(found.sum(1), values.sum(1), atol=1e-4)
    np.testing.assert_allclose(mean_maps(maps[1:2], ["a"], stretches=True)["a"], maps[1], atol=1e-5)
    middle = np.zeros((1, 9), np.float32)
    middle[0, 4] = 1
    stretched = mean_maps([middle], ["a"], stretches=True)["a"][0]
    assert float(stretched @ np.arange(FRAMES)) == pytest.approx((FRAMES - 1) / 2, abs=1e-4)


def test_tokens_are_ranked_by_the_mean_of_their_values() -> None:
    maps, tokens = [of(2, 0.5, 1), of(4, 1), of(9)], [["win", "now", "the"], ["win", "now"], ["hi"]]
    found = mean_tokens(maps, tokens, ["spam", "spam", "ham"])
    assert found == {"spam": [TokenMean("win", 3.0, 2), TokenMean("now", 0.75, 2)], "ham": []}
    assert mean_tokens(maps, tokens, ["spam", "spam", "ham"], least=1, most=1)["ham"] == [
        TokenMean("hi", 9.0, 1)
    ]
