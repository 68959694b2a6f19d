"""Planted near duplicates are found and nothing else is; merely similar samples are not reported."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.data.datamodule import DataModule
from leyden.data.sources.synthetic import PlantedAudio, PlantedImages, PlantedText
from leyden.health.data import near_duplicates_text
from leyden.health.data.checks import find_problems
from leyden.health.data.modality_checks import checks_of
from leyden.health.data.near_duplicates_image import SIDE, near, thumbnails
from leyden.health.data.nearest_neighbors import Pairs
from near_copies import clip_copy, image_copy, layer, text_copy

ROWS, TRAIN, PLANTED = 500, 400, 100
Sources = PlantedImages | PlantedText | PlantedAudio

SOURCES: dict[str, Callable[[], Sources]] = {
    "image": lambda: PlantedImages(samples=ROWS),
    "text": lambda: PlantedText(samples=ROWS, min_words=10),
    "audio": lambda: PlantedAudio(samples=ROWS),
}


def planted(modality: str, cache: Path) -> tuple[DataModule, np.ndarray]:
    """400 rows of train, 100 of test, 100 near duplicates of train in validation; the row of the original, or -1."""
    rng = np.random.default_rng(3)
    source = SOURCES[modality]()
    own = [source.decode(row) for row in range(ROWS)]
    chosen = rng.choice(TRAIN, PLANTED, replace=False)
    words = (
        sorted({word for text in own for word in bytes(text).decode().split()}) if modality == "text" else []
    )
    copies = {
        "image": lambda row: image_copy(own[row], rng),
        "text": lambda row: text_copy(own[row], rng, words),
        "audio": lambda row: clip_copy(own[row], rng),
    }
    inputs = [*own, *(copies[modality](row) for row in chosen)]
    part = np.repeat([0, 2, 1], [TRAIN, ROWS - TRAIN, PLANTED])
    labels = np.concatenate([source.index().targets, source.index().targets[chosen]])
    return layer(modality, inputs, labels, part, cache), np.concatenate([np.full(ROWS, -1), chosen])


@pytest.mark.parametrize("modality", SOURCES)
def test_planted_near_duplicates_are_found(modality: str, tmp_path: Path) -> None:
    data, origin = planted(modality, tmp_path)
    tested = np.sort(np.concatenate([data.splits.val, data.splits.test]))
    pairs = checks_of(data).near_duplicates(tested)
    assert pairs is not None
    right = origin[tested[pairs.query]] == data.splits.train[pairs.key]
    assert right.sum() >= 0.99 * PLANTED
    assert right.mean() >= 0.95


@pytest.mark.parametrize("modality", SOURCES)
def test_the_finding_names_both_sides(modality: str, tmp_path: Path) -> None:
    data, origin = planted(modality, tmp_path)
    found = {finding.id: finding for finding in find_problems(data)}
    finding = found["near_duplicates"]
    assert (finding.level, finding.where) == ("warning", "val")
    assert finding.evidence["same_label"] == 1.0
    for tested, copied in finding.evidence["rows"]:
        assert origin[tested] == copied
        assert [f"row {tested} (val)", f"row {copied}"] in finding.evidence["pairs"]
    assert "split_leak" not in found


@pytest.mark.parametrize("modality", SOURCES)
def test_clean_data_has_no_near_duplicates(modality: str, tmp_path: Path) -> None:
    source = SOURCES[modality]()
    inputs, part = [source.decode(row) for row in range(ROWS)], np.arange(ROWS) % 5 % 3
    data = layer(modality, inputs, source.index().targets, part, tmp_path)
    assert [finding.id for finding in find_problems(data)] == []


def test_identical_inputs_are_no_near_duplicates(tmp_path: Path) -> None:
    source = PlantedImages(samples=ROWS)
    inputs, part = [source.decode(row) for row in range(ROWS)], np.repeat([0, 1, 2], [TRAIN, 50, 50])
    inputs[TRAIN:] = inputs[:100]
    found = find_problems(layer("image", inputs, np.arange(ROWS) % 4, part, tmp_path))
    assert {"split_leak"} == {finding.id for finding in found} - {"label_conflict"}


def images_near(images: np.ndarray, queries: np.ndarray, keys: np.ndarray) -> Pairs:
    """Of images uint8 (N, C, H, W), as the checks do it for those of a table."""
    thumbs, large = thumbnails(torch.from_numpy(images)), max(images.shape[2:]) > SIDE
    return near(thumbs, torch.from_numpy(queries), torch.from_numpy(keys), large)


@settings(max_examples=10, deadline=None)
@given(
    shape=st.sampled_from([(1, 28, 28), (3, 32, 32), (3, 16, 40), (1, 64, 48), (3, 80, 80)]),
    seed=st.integers(0, 99),
)
def test_a_copy_is_found_at_any_size(shape: tuple[int, int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = 4 if shape[1] <= 32 else 8
    coarse = rng.integers(60, 196, (30, shape[0], shape[1] // block, shape[2] // block), dtype=np.uint8)
    images = coarse.repeat(block, 2).repeat(block, 3)
    both = np.concatenate([images, np.stack([image_copy(image, rng) for image in images])])
    pairs = images_near(both, np.arange(30, 60), np.arange(30))
    assert pairs.query.tolist() == pairs.key.tolist() == list(range(30))


def test_alike_is_no_copy() -> None:
    """Similar images, as the ones of MNIST: any two correlate by about .97, and none is a duplicate."""
    rng = np.random.default_rng(0)

    def smooth(count: int) -> np.ndarray:
        return rng.normal(0, 1, (count, 1, 7, 7)).repeat(4, 2).repeat(4, 3)

    images = np.clip(128 + 50 * smooth(1) + 8 * smooth(300), 0, 255).astype(np.uint8)
    assert np.median(np.corrcoef(images.reshape(300, -1))) > 0.95
    assert not len(images_near(images, np.arange(100), np.arange(100, 300)).query)


def test_a_query_that_is_a_key_is_not_its_own_copy() -> None:
    source = PlantedImages(samples=50)
    images = np.stack([source.decode(row) for row in range(50)])
    assert not len(images_near(images, np.arange(50), np.arange(50)).query)
    twice = np.concatenate([images, images[:1] // 2 + 60])
    assert images_near(twice, np.arange(51), np.arange(51)).query.tolist() == [0, 50]


@pytest.mark.parametrize("small", [0, 1, 3, 9])
def test_pictures_and_sets_too_small_to_compare(small: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 3, 3), dtype=np.uint8)
    assert not len(images_near(images, np.arange(3), np.arange(3, 6)).query)
    larger = np.random.default_rng(0).integers(0, 256, (20, 1, 12, 12), dtype=np.uint8)
    assert not len(images_near(larger, np.arange(small), np.arange(10, 10 + small)).query)


def test_jaccard_is_that_of_the_shingles() -> None:
    one, other = (
        b"the quick brown fox jumps over the lazy dog",
        b"the quick brown fox jumps over the lazy cat today",
    )

    def shingles(text: bytes) -> set[bytes]:
        return {
            text[i : i + near_duplicates_text.SHINGLE]
            for i in range(len(text) - near_duplicates_text.SHINGLE + 1)
        }

    a, b = shingles(one), shingles(other)
    pairs = near_duplicates_text.near(
        [one, b"something else entirely, and of some length", other], np.array([2]), np.array([0, 1])
    )
    assert (pairs.query.tolist(), pairs.key.tolist()) == ([0], [0])
    assert pairs.distance[0] == pytest.approx(1 - len(a & b) / len(a | b))


def test_texts_that_are_alike_on_one_side_only() -> None:
    texts = [
        b"nothing like it, but a text of some length",
        *[b"sent to many people in the same words, no %d" % n for n in (1, 2)],
    ]
    assert not len(near_duplicates_text.near(texts, np.array([1, 2]), np.array([0])).query)
    assert not len(near_duplicates_text.near(texts, np.array([0]), np.array([1, 2])).query)
    assert near_duplicates_text.near(texts, np.array([1, 2]), np.array([0, 1, 2])).key.tolist() == [2, 1]


@pytest.mark.parametrize("texts", [[b"", b""], [b"ok", b"ok", b"okay"], [b"no" * 30, b"yes" * 30]])
def test_short_and_degenerate_texts_are_no_near_duplicates(texts: list[bytes]) -> None:
    last = len(texts) - 1
    assert not len(near_duplicates_text.near(texts, np.array([last]), np.arange(last)).query)


def test_a_text_that_all_repeat_costs_no_more_than_many(tmp_path: Path) -> None:
    texts = [b"one and the same long template text number %d" % (n % 7) for n in range(5000)]
    pairs = near_duplicates_text.near(texts, np.arange(4000, 5000), np.arange(4000))
    assert len(pairs.query) > 900
