"""Multi-label and regression sets made of others, or generated: targets, splits without leaks, and what is decoded."""

import os
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.index import TEST, TRAIN, VAL
from leyden.data.sources.audio_mixed import FSDDMixed, mix
from leyden.data.sources.derived import draw_pairs, label_sets, with_validation
from leyden.data.sources.mnist_derived import MNISTAngle, MNISTPairs, overlay, turn
from leyden.data.sources.planted_tags import PlantedTags, draw_tags
from leyden.utils.errors import UserError

DATA = Path(os.environ.get("LEYDEN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def tiny_mnist(root: Path) -> str:
    """300 training and 100 test digits; each picture is flat grey, its value the row's number modulo 255 and one."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, rows in (("train", np.arange(300)), ("t10k", np.arange(300, 400))):
        images = np.zeros((len(rows), 28, 28), np.uint8)
        images[:, 4:24, 10:18] = (rows % 255 + 1)[:, None, None]
        for kind, values in (("images-idx3", images), ("labels-idx1", (rows % 10).astype(np.uint8))):
            header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (raw / f"{part}-{kind}-ubyte").write_bytes(header + values.tobytes())
    return str(root)


def tiny_fsdd(root: Path) -> str:
    """Ten digits of two speakers, 15 recordings each: a constant that says digit and index, 200 to 214 samples."""
    folder = root / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in ("ann", "bob"):
            for number in range(15):
                with wave.open(str(folder / f"{digit}_{speaker}_{number}.wav"), "wb") as file:
                    file.setparams((1, 2, 8000, 0, "NONE", ""))
                    file.writeframes(np.full(200 + number, 100 * (digit + 1), "<i2").tobytes())
    return str(root)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), classes=st.integers(2, 6), train=st.integers(1, 200), test=st.integers(1, 50)
)
def test_pairs_are_of_two_classes_and_one_part(seed: int, classes: int, train: int, test: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), 30))
    split = np.random.default_rng(seed).permutation(
        np.repeat(np.array([TRAIN, TEST], np.int8), [20, 10]).repeat(classes)
    )
    labels[:classes], labels[-classes:] = np.arange(classes), np.arange(classes)
    split[: 2 * classes], split[-classes:] = TRAIN, TEST
    labels[classes : 2 * classes] = np.arange(classes)
    parts = with_validation(labels, split)
    pairs, part = draw_pairs(labels, parts, train, test, seed)
    assert np.bincount(part, minlength=3).tolist() == [train, -(-train // 10), test]
    assert (labels[pairs[:, 0]] != labels[pairs[:, 1]]).all()
    assert (parts[pairs] == part[:, None]).all()
    sets = label_sets(labels, pairs, classes)
    assert (sets.sum(1) == 2).all()
    np.testing.assert_array_equal(draw_pairs(labels, parts, train, test, seed)[0], pairs)


def test_validation_takes_a_tenth_of_each_class_and_leaves_test_alone() -> None:
    labels, split = np.tile(np.arange(5), 100), np.repeat(np.array([TRAIN, TEST], np.int8), [400, 100])
    parts = with_validation(labels, split)
    assert [int(((parts == VAL) & (labels == c)).sum()) for c in range(5)] == [8] * 5
    np.testing.assert_array_equal(parts == TEST, split == TEST)


def test_one_class_makes_no_pairs() -> None:
    labels, parts = np.zeros(9, np.int64), np.repeat(np.array([TRAIN, VAL, TEST], np.int8), 3)
    with pytest.raises(UserError, match="cannot make pairs of two classes"):
        draw_pairs(labels, parts, 4, 4, 0)


@pytest.mark.parametrize(("layout", "shape"), [("overlapping", (1, 36, 36)), ("beside", (1, 36, 72))])
def test_mnist_pairs(tmp_path: Path, layout: Any, shape: tuple[int, ...]) -> None:
    source = MNISTPairs(tiny_mnist(tmp_path), 50, 20, layout)
    found = source.index()
    assert found.targets.shape == (75, 10)
    assert found.split is not None
    assert np.bincount(found.split).tolist() == [50, 5, 20]
    seen: dict[int, set[int]] = {TRAIN: set(), VAL: set(), TEST: set()}
    for row in range(75):
        image = source.decode(row)
        assert image.shape == shape
        assert image.dtype == np.uint8
        numbers = [int(name.split()[1]) for name in found.names[row].split(" + ")]
        assert sorted(np.flatnonzero(found.targets[row])) == sorted({number % 10 for number in numbers})
        values = {number % 255 + 1 for number in numbers}
        assert max(values) in image
        if layout == "beside":  # nothing covers the other digit
            assert set(np.unique(image)) == {0, *values}
            assert image[..., :36].max() == numbers[0] % 255 + 1
        seen[int(found.split[row])] |= set(numbers)
    assert not seen[TRAIN] & seen[VAL]
    assert min(seen[TEST]) >= 300 > max(seen[TRAIN] | seen[VAL])


def test_overlay_places_and_keeps_the_brighter() -> None:
    first, second = np.full((28, 28), 100, np.uint8), np.full((28, 28), 200, np.uint8)
    canvas = overlay(first, second, np.array([[0, 0], [8, 8]]))
    assert (canvas[:8, :28] == 100).all()
    assert (canvas[8:, 8:] == 200).all()
    assert (canvas[:8, 28:] == 0).all()
    np.testing.assert_array_equal(canvas, overlay(second, first, np.array([[8, 8], [0, 0]])))


def test_turn_is_anticlockwise_about_the_middle() -> None:
    upper = np.zeros((28, 28), np.uint8)
    upper[2:10, 12:16] = 255
    left = turn(upper, 90.0)
    y, x = (np.average(np.arange(28), weights=left.sum(1 - axis)) for axis in (0, 1))
    assert (y, x) == pytest.approx((13.5, 5.5), abs=0.6)
    np.testing.assert_array_equal(turn(upper, 0.0), upper)


def test_mnist_angle(tmp_path: Path) -> None:
    source = MNISTAngle(tiny_mnist(tmp_path), 200, 60)
    found = source.index()
    assert found.targets.shape == (260, 1)
    assert found.target_names == ("angle",)
    assert found.split is not None
    assert np.bincount(found.split).tolist() == [200, 0, 60]
    numbers = [int(name.split()[1]) for name in found.names]
    assert len(set(numbers)) == 260  # each image once
    assert all(number % 10 != 0 for number in numbers)
    assert max(numbers[:200]) < 300 <= min(numbers[200:])
    assert np.abs(found.targets).max() <= 45
    assert found.targets.std() == pytest.approx(90 / 12**0.5, rel=0.1)
    for row in range(5):  # the bar's axis, from the second moments, stands where the target says
        image = source.decode(row)[0].astype(np.float64)
        y, x = (axis - 13.5 for axis in np.mgrid[:28, :28])
        axis = np.degrees(0.5 * np.arctan2(2 * (image * x * y).sum(), (image * (y**2 - x**2)).sum()))
        assert axis == pytest.approx(found.targets[row, 0], abs=3)


def test_more_angles_than_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.source\.test_samples: 91 is more than the 90 images"):
        MNISTAngle(tiny_mnist(tmp_path), 10, 91).index()


def test_mix_levels_pads_and_stays_in_range() -> None:
    rng = np.random.default_rng(0)
    loud, quiet = (rng.normal(scale=s, size=n).astype(np.int16) for s, n in ((8000, 500), (80, 900)))
    found = mix(loud, quiet).astype(np.float64)
    assert len(found) == 900
    level = 0.08 * 32767
    assert np.sqrt((found[500:] ** 2).mean()) == pytest.approx(level, rel=0.1)
    assert np.sqrt((found[:500] ** 2).mean()) == pytest.approx(level * 2**0.5, rel=0.1)
    click = np.zeros(10_000, np.int16)
    click[0] = 30_000
    assert np.abs(mix(click, click).astype(int)).max() == 32767
    assert not mix(np.zeros(5, np.int16), np.zeros(3, np.int16)).any()
    assert len(mix(np.zeros(0, np.int16), quiet)) == 900


def test_fsdd_mixed(tmp_path: Path) -> None:
    source = FSDDMixed(tiny_fsdd(tmp_path), 60, 30)
    found = source.index()
    assert found.targets.shape == (96, 10)
    assert found.split is not None
    assert np.bincount(found.split).tolist() == [60, 6, 30]
    assert source.facts() == {"sample_rate": 8000}
    seen: dict[int, set[str]] = {TRAIN: set(), VAL: set(), TEST: set()}
    for row in range(96):
        files = found.names[row].split(" + ")
        assert sorted(np.flatnonzero(found.targets[row])) == sorted(int(Path(name).name[0]) for name in files)
        numbers = [int(Path(name).stem.split("_")[2]) for name in files]
        assert all((number < 5) == (found.split[row] == TEST) for number in numbers)
        assert source.decode(row).shape == (200 + max(numbers),)
        seen[int(found.split[row])] |= set(files)
    assert not seen[TRAIN] & seen[VAL]


@settings(max_examples=30, deadline=None)
@given(tags=st.integers(2, 9), most=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_tags_are_as_many_as_said_and_at_words_of_their_own(tags: int, most: int, seed: int) -> None:
    most = min(most, tags)
    found = draw_tags(300, tags, most, (5, 12), seed)
    number = found.tags.sum(1)
    assert set(number.tolist()) == set(range(most + 1))
    assert ((found.places >= 0) == (found.tags == 1)).all()
    assert (found.places < found.lengths[:, None]).all()
    for row in range(300):
        places = found.places[row][found.tags[row] == 1].tolist()
        assert len(set(places)) == len(places)


def test_planted_tags_can_be_read_off_the_words() -> None:
    source = PlantedTags(samples=200)
    found = source.index()
    keys = {word: tag for tag in range(8) for word in source._keys[tag]}
    assert len(keys) == 24
    for row in range(200):
        words = source.decode(row).tobytes().decode().split(" ")
        assert 8 <= len(words) <= 30
        assert found.truth is not None
        at = {keys[word]: place for place, word in enumerate(words) if word in keys}
        assert at == {tag: int(place) for tag, place in enumerate(found.truth[row]) if place >= 0}
        assert sorted(at) == np.flatnonzero(found.targets[row]).tolist()


@pytest.mark.parametrize("wrong", [{"most_tags": 9}, {"min_words": 3}, {"min_words": 10, "max_words": 9}])
def test_tags_that_do_not_fit_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="expected most_tags <= min_words <= max_words"):
        PlantedTags(**wrong)


def test_fingerprints_follow_the_arguments_and_rows_do_not_depend_on_each_other(tmp_path: Path) -> None:
    digits, words, cache = tiny_mnist(tmp_path / "a"), tiny_fsdd(tmp_path / "b"), tmp_path / "cache"
    made: list[list[Any]] = [
        [PlantedTags(), PlantedTags(seed=1), PlantedTags(synonyms=2)],
        [
            MNISTPairs(digits, 9),
            MNISTPairs(digits, 10),
            MNISTPairs(digits, 9, seed=1),
            MNISTPairs(digits, 9, 7, "beside"),
        ],
        [MNISTAngle(digits, 9, 9), MNISTAngle(digits, 10, 9), MNISTAngle(digits, 9, 9, largest=30)],
        [FSDDMixed(words, 9), FSDDMixed(words, 10), FSDDMixed(words, 9, sample_rate=4000)],
    ]
    prints = [source.fingerprint(cache) for group in made for source in group]
    assert len(set(prints)) == len(prints)
    assert PlantedTags().fingerprint(cache) == prints[0]
    used = PlantedTags()
    last = used.decode(3)
    used.decode(0)
    np.testing.assert_array_equal(used.decode(3), last)
    assert used.fingerprint(cache) == prints[0]  # also after use


@pytest.mark.data
def test_on_the_real_digits() -> None:
    if not (DATA / "MNIST").is_dir():
        pytest.skip("no MNIST")
    pairs = MNISTPairs(str(DATA)).index()
    assert pairs.targets.shape == (27_000, 10)
    assert np.abs(pairs.targets.mean(0) - 0.2).max() < 0.02
    angle = MNISTAngle(str(DATA))
    assert angle.index().targets.shape == (25_000, 1)
    assert angle.decode(0).max() > 200


@pytest.mark.data
def test_on_the_real_recordings() -> None:
    if not (DATA / "fsdd").is_dir():
        pytest.skip("no FSDD")
    mixed = FSDDMixed(str(DATA / "fsdd"))
    assert mixed.index().targets.shape == (5_400, 10)
    assert np.abs(mixed.decode(0).astype(int)).max() > 3000
