"""Generated sets: the signal is where the truth says and decides the class; any row stands alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.cache import load
from leyden.data.index import Source
from leyden.data.sources.synthetic import PlantedAudio, PlantedImages, PlantedText
from leyden.utils.errors import UserError

MAKERS: list[type[Any]] = [PlantedImages, PlantedText, PlantedAudio]


@pytest.mark.parametrize("make", MAKERS)
def test_rows_are_deterministic_and_stand_alone(make: Callable[..., Any]) -> None:
    source, again = make(samples=50), make(samples=50)
    assert isinstance(source, Source)
    forwards = [source.decode(row) for row in range(50)]
    for row in reversed(range(50)):
        np.testing.assert_array_equal(again.decode(row), forwards[row])
    assert len({one.tobytes() for one in forwards}) == 50
    other = make(samples=50, seed=1)
    assert any(other.decode(row).tobytes() != forwards[row].tobytes() for row in range(50))


@pytest.mark.parametrize("make", MAKERS)
def test_fingerprint_follows_every_argument(make: Callable[..., Any], tmp_path: Any) -> None:
    first = make().fingerprint(tmp_path)
    assert make().fingerprint(tmp_path) == first
    used = make(samples=20)
    unused = used.fingerprint(tmp_path)
    used.decode(0)
    assert used.fingerprint(tmp_path) == unused  # what was drawn meanwhile does not matter
    counts = [5] * make().num_classes
    others = [make(**one).fingerprint(tmp_path) for one in ({"seed": 3}, {"samples": 40}, {"counts": counts})]
    assert len({first, *others}) == 4


@pytest.mark.parametrize("make", MAKERS)
@settings(max_examples=15, deadline=None)
@given(counts=st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_counts_make_a_set_imbalanced(make: Callable[..., Any], counts: list[int]) -> None:
    index = make(num_classes=len(counts), counts=counts).index()
    assert np.bincount(index.targets).tolist() == counts
    assert index.truth is not None
    assert index.truth.dtype == np.int32
    assert len(index.truth) == len(index.names) == sum(counts)


@pytest.mark.parametrize("make", MAKERS)
def test_classes_are_balanced_and_mixed_without_counts(make: Callable[..., Any]) -> None:
    labels = make(num_classes=3, samples=100).index().targets
    assert sorted(np.bincount(labels).tolist()) == [33, 33, 34]
    assert labels.tolist() != sorted(labels.tolist())


@pytest.mark.parametrize("make", MAKERS)
def test_mistakes(make: Callable[..., Any]) -> None:
    for arguments, message in (
        ({"num_classes": 3, "samples": 2}, "cannot show 3 classes"),
        ({"num_classes": 3, "counts": [1, 2]}, "expected num_classes=3 numbers"),
        ({"num_classes": 2, "counts": [1, 0]}, "expected num_classes=2 numbers"),
    ):
        with pytest.raises(UserError, match=message):
            make(**arguments).index()
    with pytest.raises(UserError, match="min_words"):
        PlantedText(min_words=9, max_words=8)
    with pytest.raises(UserError, match="burst <= min_seconds"):
        PlantedAudio(burst=0.7)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pattern_is_where_the_truth_says(channels: int) -> None:
    source = PlantedImages(num_classes=6, samples=60, channels=channels, size=20)
    index = source.index()
    for row in range(60):
        image = source.decode(row)
        assert image.shape == (channels, 20, 20)
        y, x, h, w = index.truth[row]
        pattern = source.patterns[index.targets[row]]
        assert all(np.array_equal(plane, pattern) for plane in image[:, y : y + h, x : x + w])
        windows = np.lib.stride_tricks.sliding_window_view(image[0], (6, 6)).reshape(-1, 6, 6)
        found = {c for c, one in enumerate(source.patterns) if (windows == one).all(axis=(1, 2)).any()}
        assert found == {index.targets[row]}


def test_patterns_are_apart_and_the_same_for_every_seed() -> None:
    patterns = PlantedImages(num_classes=100).patterns.reshape(100, -1)
    distance = (patterns[:, None] != patterns[None]).sum(axis=-1)
    assert distance[~np.eye(100, dtype=bool)].min() >= PlantedImages.APART
    np.testing.assert_array_equal(PlantedImages(num_classes=100, seed=9).patterns.reshape(100, -1), patterns)


def test_the_key_word_is_where_the_truth_says() -> None:
    source = PlantedText(num_classes=4, samples=100, min_words=1, max_words=9)
    index = source.index()
    keys = {word: label for label in range(4) for word in source.keys(label)}
    assert len(keys) == 12
    lengths = set()
    for row in range(100):
        words = bytes(source.decode(row)).decode().split(" ")
        first, count = index.truth[row]
        assert [(place, keys[word]) for place, word in enumerate(words) if word in keys] == [
            (first, index.targets[row])
        ]
        assert count == 1
        lengths.add(len(words))
    assert lengths == set(range(1, 10))


def test_the_tone_is_where_the_truth_says() -> None:
    source = PlantedAudio(num_classes=5, samples=60)
    index = source.index()
    for row in range(60):
        wave = source.decode(row).astype(np.float64)
        start, size, hertz = index.truth[row]
        assert 4000 <= len(wave) <= 8000
        assert start + size <= len(wave)
        spectrum = np.abs(np.fft.rfft(wave[start : start + size]))
        assert abs(np.argmax(spectrum) * 8000 / size - hertz) <= 8000 / size
        assert np.argmin(np.abs(source.frequencies - hertz)) == index.targets[row]
        outside = np.concatenate([wave[:start], wave[start + size :]])
        assert np.sqrt((wave[start : start + size] ** 2).mean()) > 1.5 * np.sqrt((outside**2).mean())


@pytest.mark.parametrize("make", MAKERS)
def test_they_load(make: Callable[..., Any], tmp_path: Any) -> None:
    source = make(samples=30)
    table = load(source, tmp_path)
    np.testing.assert_array_equal(table.index.truth, source.index().truth)
    assert table.index.names[2].endswith(" 2")
    assert len(table.inputs) == 30


@pytest.mark.parametrize(("place", "first"), [("first", True), ("last", False)])
def test_key_words_at_an_end(place: Any, first: bool) -> None:
    source = PlantedText(samples=30, min_words=4, max_words=9, place=place)
    for row in range(30):
        words = source.decode(row).tobytes().decode().split()
        found = words[0 if first else -1]
        assert found in source.keys(int(source.index().targets[row]))
        assert source.index().truth[row, 0] == (0 if first else len(words) - 1)


def test_clutter_tells_nothing_and_changes_nothing_else() -> None:
    """Bursts beside the planted one have pitches of no class; without them a recording is what it was."""
    plain, cluttered = PlantedAudio(samples=40), PlantedAudio(samples=40, clutter=2)
    pitches = np.log(plain.frequencies)
    third = (pitches[1] - pitches[0]) / 3
    for row in range(40):
        added = cluttered.decode(row).astype(np.float64) - plain.decode(row)
        assert 700 < np.count_nonzero(added) <= 2 * 800
        spectrum = np.abs(np.fft.rfft(added))
        loudest = np.log(np.argmax(spectrum) * 8000 / len(added))
        assert np.abs(loudest - pitches).min() > 0.9 * third
    np.testing.assert_array_equal(plain.index().truth, cluttered.index().truth)
