"""Facts of rows: what they are, for each modality and kind of target, and that each row has its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leyden.data.datamodule import DataModule
from leyden.data.modalities import MODALITIES, Modality
from leyden.interpretation.facts import clusters, facts_of
from leyden.training.setup import open_session


def data_of(*words: str) -> DataModule:
    return open_session([*words, "trainer=cpu"]).data


def test_pictures_and_classes() -> None:
    data = data_of("data=digits")
    rows = np.array([5, 900, 17])
    found = facts_of(data, rows)
    assert list(found.facts) == ["class", "brightness", "contrast", "cluster"]
    np.testing.assert_allclose(
        found.facts["brightness"], data.table.inputs.values[rows].mean((1, 2, 3)) / 255
    )
    assert found.facts["class"].tolist() == [str(label) for label in data.table.index.targets[rows]]
    assert found.strata.tolist() == data.table.index.targets[rows].tolist()


def test_texts_with_labels() -> None:
    data = data_of("data=planted_tags", "task=multilabel", "model=lstm", "data.source.samples=60")
    rows = np.arange(60)[::-7]
    found = facts_of(data, rows)
    texts = [bytes(data.table.inputs.row(row)).decode() for row in rows]
    assert found.facts["words"].tolist() == [len(text.split()) for text in texts]
    targets = data.table.index.targets[rows]
    assert found.facts["tag 3"].tolist() == ["yes" if tag else "no" for tag in targets[:, 3]]
    assert found.strata.tolist() == targets.sum(axis=1).tolist()


def test_groups_metadata_and_numbers(tmp_path: Path) -> None:
    lines = [f"text {i},{i / 2},{'ns'[i % 2]},{i % 3}" for i in range(60)]
    (tmp_path / "all.csv").write_text("\n".join(["text,width,site,author", *lines]) + "\n")
    data = data_of(
        *("data=text_table", f"data.source.path={tmp_path / 'all.csv'}", "data.source.label_column=width"),
        *("data.source.group_column=author", "task=regression", "model=lstm", f"cache={tmp_path}"),
    )
    found = facts_of(data, np.array([4, 7]))
    assert found.facts["width"].tolist() == [2, 3.5]
    assert found.facts["group"].tolist() == ["1", "1"]
    assert found.facts["site"].tolist() == ["n", "s"]
    assert found.strata.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("modality", "values", "found"),
    [
        ("audio", np.full(4000, 16384, np.int16), {"seconds": 0.5, "loudness in dB": -6.0206}),
        ("audio", np.zeros(4000, np.int16), {"seconds": 0.5, "loudness in dB": -120}),
        ("text", np.frombuffer("grün, blau".encode(), np.uint8), {"words": 2, "characters": 10}),
        ("image", np.array([[[0, 255]]], np.uint8), {"brightness": 0.5, "contrast": 0.5}),
    ],
)
def test_measures(modality: str, values: Any, found: dict[str, float]) -> None:
    assert MODALITIES[modality].measures(values, 8000) == pytest.approx(found, abs=1e-3)


def test_measures_of_a_modality_of_ones_own() -> None:
    class Curve(Modality):
        name = "curve"
        is_ragged = True

    assert Curve().measures(np.array([1.0, 3.0]), 0) == {"mean": 2, "deviation": 1, "length": 2}
    assert Curve().measures(np.zeros(0), 0) == {"length": 0}


@pytest.mark.parametrize("modality", ["image", "text", "audio"])
def test_inputs_that_are_alike_have_sketches_that_lie_close(modality: str) -> None:
    rng = np.random.default_rng(0)
    made: dict[str, list[Any]] = {
        "image": [rng.integers(low, low + 90, (3, 20, 13)).astype(np.uint8) for low in (0, 20, 150)],
        "text": [np.frombuffer(text, np.uint8) for text in (b"one two three", b"Two one  three", b"a b c d")],
        "audio": [(9999 * np.sin(np.arange(4000) * pitch)).astype(np.int16) for pitch in (0.5, 0.51, 2)],
    }
    one, like, other = (MODALITIES[modality].sketch(values) for values in made[modality])
    assert one.shape == (192 if modality == "image" else 64,)
    assert np.linalg.norm(one - like) < np.linalg.norm(one - other) / 2
    assert np.isfinite(MODALITIES[modality].sketch(made[modality][0][..., :1])).all()


def test_a_small_picture_is_its_own_sketch_and_a_large_one_keeps_its_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 8)).astype(np.uint8)
    np.testing.assert_allclose(MODALITIES["image"].sketch(image), image.ravel() / 255)
    large = image.repeat(7, axis=1).repeat(3, axis=2)[:, :32]
    assert MODALITIES["image"].sketch(large).mean() == pytest.approx(large.mean() / 255)


def test_clusters_are_groups_of_features_the_largest_first() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [250, 150, 100])
    features = (rng.normal(size=(500, 4)) + 30 * np.eye(4)[truth]).astype(np.float32)
    found = clusters(features)
    assert len(set(found)) == 8
    assert all(len(set(truth[found == cluster])) == 1 for cluster in set(found))
    sizes = [int((found == str(i)).sum()) for i in range(1, 9)]
    assert sizes == sorted(sizes, reverse=True)
    assert set(clusters(features[:40])) == {"1"}
