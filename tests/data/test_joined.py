"""Rows with several inputs: joined by row, name or column, from one table, with what is absent, bad or the same."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from test_sources_derived import tiny_fsdd, tiny_mnist

from leyden.data.cache import load
from leyden.data.joined import Joined, PartColumn, Several, load_joined, restricted
from leyden.data.sources.audio import AudioManifest
from leyden.data.sources.av_digits import AVDigits
from leyden.data.sources.image import ImageFolder, ImageManifest
from leyden.data.sources.multimodal import Join
from leyden.data.sources.multimodal_table import MultimodalTable
from leyden.data.sources.planted_fusion import PlantedFusion
from leyden.data.sources.synthetic import PlantedImages
from leyden.data.table import Dense, Ragged
from leyden.data.tabular import TABULAR
from leyden.utils.errors import UserError

HEADER = ["photo", "note", "voice", "age", "site", "label"]


def table(folder: Path, rows: list[list[str]], header: list[str] = HEADER) -> str:
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(folder / "rows.csv")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Four pictures of one grey each and four recordings of one value each, named 0 to 3."""
    for i in range(4):
        Image.fromarray(np.full((5, 4), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
        soundfile.write(tmp_path / f"{i}.wav", np.full(50 + i, i + 1, np.int16), 8000)
    return tmp_path


ROWS = [
    ["0.png", "the first", "0.wav", "40", "north", "a"],
    ["", "the second", "1.wav", "", "south", "b"],
    ["2.png", "", "", "51.5", "NaN", "a"],
    ["3.png", "the fourth", "3.wav", "", "", "b"],
]
COLUMNS: dict[str, Any] = {
    **{"image": "photo", "text": "note", "audio": "voice"},
    **{"numbers": ["age"], "categories": ["site"]},
}


def joined(source: Any, cache: Path, on_bad: Any = "stop") -> Any:
    return load_joined(source, cache / "cache", on_bad, 8.0, True)


def test_a_table_gives_each_row_the_inputs_whose_cells_are_not_empty(own: Path) -> None:
    found = joined(MultimodalTable(table(own, ROWS), **COLUMNS), own)
    inputs = found.inputs
    assert isinstance(inputs, Joined)
    assert found.index.target_names == ("a", "b")
    assert found.index.targets.tolist() == [0, 1, 0, 1]
    assert {name: places.tolist() for name, places in inputs.places.items()} == {
        **{"image": [0, -1, 1, 2], "text": [0, 1, -1, 2], "audio": [0, 1, -1, 2], "table": [0, 1, 2, -1]},
    }
    third = inputs.row(2)
    assert sorted(third) == ["image", "table"]
    assert (third["image"] == 20).all()
    assert third["table"].tolist() == [51.5, 0.0]
    assert np.isnan(inputs.row(1)["table"][0])
    assert inputs.row(1)["table"][1] == 2.0
    assert inputs.row(3)["audio"].tolist() == [4] * 53
    assert found.facts["table"] == {"numbers": ["age"], "categories": {"site": ["north", "south"]}}
    assert found.index.names[2] == "rows.csv:4"


def test_inputs_can_be_left_out_and_the_fingerprint_knows_the_table(own: Path) -> None:
    source = MultimodalTable(table(own, ROWS), **COLUMNS, inputs=["text", "table"])
    assert list(joined(source, own).inputs.tables) == ["text", "table"]
    one = source.fingerprint(own / "cache")
    again = MultimodalTable(table(own, ROWS), **COLUMNS, inputs=["text", "table"])
    assert again.fingerprint(own / "cache") == one
    changed = [*ROWS[:3], ["3.png", "the fourth", "3.wav", "", "", "a"]]
    other = MultimodalTable(table(own, changed), **COLUMNS, inputs=["text", "table"])
    assert other.fingerprint(own / "cache") != one
    assert joined(other, own).index.targets.tolist() == [0, 1, 0, 0]


def test_reordered_rows_find_their_own_inputs(own: Path) -> None:
    joined(MultimodalTable(table(own, ROWS), **COLUMNS), own)
    found = joined(MultimodalTable(table(own, ROWS[::-1]), **COLUMNS), own)
    assert (found.inputs.row(3)["image"] == 0).all()
    assert (found.inputs.row(0)["image"] == 30).all()


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, {}, "no column of an input"),
        (ROWS, {"image": "picture"}, r"data.source.image: .*no column 'picture'"),
        (ROWS, {"image": "photo", "inputs": ["sound"]}, "there is no input 'sound'; there are image"),
        ([["9.png", "x", "", "1", "", "a"]], {"image": "photo"}, r"rows.csv:2: 9.png"),
        (
            [["", "x", "", "old", "", "a"]],
            {"numbers": ["age"]},
            r"rows.csv:2: column 'age' holds 'old'; expected",
        ),
        ([["", "", "", "1", "", "a"]] * 2, {"text": "note"}, "no row has the input 'text'"),
    ],
)
def test_a_table_that_is_wrong_is_refused(
    own: Path, rows: list[list[str]], columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        joined(MultimodalTable(table(own, rows), **columns), own)


def test_a_row_without_any_input_is_named_or_left_out(own: Path) -> None:
    source = MultimodalTable(table(own, [*ROWS, ["", "", "", "", "", "a"]]), **COLUMNS)
    with pytest.raises(UserError, match=r"rows.csv:6: has none of the inputs image, text, audio, table"):
        joined(source, own)
    found = joined(source, own, "skip")
    assert len(found) == 4
    assert found.skipped.names == ("rows.csv:6",)


def test_what_cannot_be_decoded_is_absent_from_its_row(own: Path) -> None:
    (own / "2.png").write_bytes(b"no picture")
    source = MultimodalTable(table(own, ROWS), **COLUMNS)
    with pytest.raises(UserError, match=r"2.png"):
        joined(source, own)
    found = joined(source, own, "skip")
    assert found.inputs.places["image"].tolist() == [0, -1, -1, 1]
    assert (found.inputs.row(3)["image"] == 30).all()
    assert found.skipped.names == ("2.png",)


def test_columns_gather_what_is_there_and_zeros(own: Path) -> None:
    column = PartColumn(Dense(np.arange(1, 7, dtype=np.float32).reshape(3, 2)), np.array([2, -1, 0]))
    rows = torch.tensor([0, 1, 2, 1])
    assert column.gather(rows).values.tolist() == [[5, 6], [0, 0], [1, 2], [0, 0]]
    present = column.present(rows)
    assert present is not None
    assert present.tolist() == [True, False, True, False]
    ragged = PartColumn(Ragged(np.arange(1, 7, dtype=np.int16), np.array([0, 1, 6])), np.array([1, -1]))
    found = ragged.gather(torch.tensor([1, 0]))
    assert found.lengths is not None
    assert found.lengths.tolist() == [0, 5]
    assert found.values.tolist() == [[0] * 5, [2, 3, 4, 5, 6]]
    assert ragged.gather(torch.tensor([1])).values.shape[0] == 1
    whole = PartColumn(Dense(np.zeros((2, 1), np.float32)), np.array([1, 0]))
    assert whole.present(rows[:2]) is None


def test_all_inputs_but_some_can_be_made_absent() -> None:
    columns = {
        "a": PartColumn(Dense(np.ones((2, 1), np.float32)), np.array([0, -1, 1])),
        "b": PartColumn(Dense(np.ones((2, 1), np.float32)), np.array([0, 1, -1])),
    }
    found, there = restricted(columns, ["a"])
    assert there.tolist() == [True, False, True]
    assert not found["b"].gather(torch.arange(3)).values.any()
    present = found["b"].present(torch.arange(3))  # type: ignore[attr-defined]
    assert not present.any()
    assert restricted(columns, ["a", "b"])[1].all()


def test_rows_are_the_same_where_their_inputs_are() -> None:
    key = Several({"a": TABULAR, "b": TABULAR}).key
    one, two = np.ones(2, np.float32), np.zeros(2, np.float32)
    assert key({"a": one}) == key({"a": one.copy()})
    assert len({key({"a": one}), key({"b": one}), key({"a": two}), key({"a": one, "b": one})}) == 4


# --- joins of sources


def manifest(folder: Path, name: str, paths: list[str], labels: str, **more: list[str]) -> str:
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "label", *more], *zip(paths, labels, *more.values(), strict=True)]
        )
    return str(folder / name)


def pictures_and_sounds(own: Path, labels: str = "abab", ids: str = "wxyz") -> dict[str, Any]:
    pictures = manifest(own, "pictures.csv", [f"{i}.png" for i in range(4)], "abab", id=list("wxyz"))
    sounds = manifest(own, "sounds.csv", [f"{i}.wav" for i in (1, 2, 3)], labels[1:], id=list(ids[1:]))
    return {"image": ImageManifest(pictures), "audio": AudioManifest(sounds)}


@pytest.mark.parametrize("by", ["name", "id"])
def test_sources_are_joined_by_name_or_by_a_column(own: Path, by: str) -> None:
    found = joined(Join(pictures_and_sounds(own), by), own)
    assert found.inputs.places["image"].tolist() == [0, 1, 2, 3]
    assert found.inputs.places["audio"].tolist() == [-1, 0, 1, 2]
    assert found.index.targets.tolist() == [0, 1, 0, 1]
    assert list(found.index.names) == (["0", "1", "2", "3"] if by == "name" else list("wxyz"))


def test_sources_are_joined_row_by_row(own: Path) -> None:
    found = joined(Join({"one": PlantedImages(2, 10, size=8), "other": PlantedImages(2, 10, size=9)}), own)
    assert len(found) == 10
    assert all((places == np.arange(10)).all() for places in found.inputs.places.values())


@pytest.mark.parametrize(
    ("make", "by", "message"),
    [
        (lambda own: pictures_and_sounds(own), "row", r"differ in length \(image 4, audio 3\)"),
        (lambda own: pictures_and_sounds(own), "age", "has no such column; expected row, name, id"),
        (
            lambda own: pictures_and_sounds(own, ids="abcd"),
            "id",
            "no two of the sources image, audio have a key",
        ),
        (lambda own: pictures_and_sounds(own, ids="wxxx"), "id", "source of audio has several rows of 'x'"),
        (
            lambda own: pictures_and_sounds(own, labels="aaba"),
            "name",
            "source of audio gives 1 other targets",
        ),
        (
            lambda own: pictures_and_sounds(own, labels="acbc"),
            "name",
            r"targets of audio are b, c, others have a, b",
        ),
        (lambda own: {}, "row", "expected a source for each input"),
    ],
)
def test_sources_that_do_not_fit_are_refused(
    own: Path, make: Callable[[Path], Any], by: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        joined(Join(make(own), by), own)


def test_a_folder_is_joined_with_another_by_file_name(own: Path) -> None:
    for name in ("a", "b"):
        (own / "pictures" / name).mkdir(parents=True)
    for i in range(4):
        (own / f"{i}.png").rename(own / "pictures" / "ab"[i % 2] / f"{i}.png")
    sounds = manifest(own, "sounds.csv", [f"{i}.wav" for i in range(4)], "abab")
    source = Join({"image": ImageFolder(str(own / "pictures")), "audio": AudioManifest(sounds)}, "name")
    found = joined(source, own)
    assert sorted(found.index.names) == ["0", "1", "2", "3"]
    for row, name in enumerate(found.index.names):
        assert (found.inputs.row(row)["image"] == 10 * int(name)).all()
        assert found.inputs.row(row)["audio"][0] == int(name) + 1


# --- generated and derived sets


def test_any_two_of_three_planted_inputs_tell_the_class(tmp_path: Path) -> None:
    source = PlantedFusion(samples=270, absent=0.3, seed=3)
    found = joined(source, tmp_path)
    shown: dict[str, np.ndarray] = {
        name: np.where(
            found.inputs.places[name] >= 0,
            found.inputs.tables[name].index.truth[found.inputs.places[name]][:, -1]
            if name == "audio"
            else source.parts[name].index().targets[found.inputs.places[name]],
            -1,
        )
        for name in source.parts
    }
    tones = np.unique(shown["audio"][shown["audio"] >= 0])
    third = np.where(shown["audio"] >= 0, np.searchsorted(tones, shown["audio"]), -1)
    classes, there = found.index.targets, np.stack([shown["image"] >= 0, shown["text"] >= 0, third >= 0])
    assert there.any(axis=0).all()
    assert 0.15 < 1 - there.mean() < 0.25  # two thirds of .3: one input of each row is kept
    a, b = classes // 3, classes % 3
    assert (shown["image"] == a)[there[0]].all()
    assert (shown["text"] == b)[there[1]].all()
    assert (third == (a + b) % 3)[there[2]].all()
    assert np.bincount(classes).tolist() == [30] * 9
    again = joined(PlantedFusion(samples=270, absent=0.3, seed=3, inputs=["audio"]), tmp_path, "skip")
    assert set(again.inputs.tables) == {"audio"}


def test_pairs_of_digits_are_of_one_class_and_of_one_part_of_the_split(tmp_path: Path) -> None:
    tiny_fsdd(Path(tiny_mnist(tmp_path)) / "fsdd")
    source = AVDigits(str(tmp_path), samples=200, test_samples=80, components=3, copies=2)
    found = joined(source, tmp_path)
    index, places = found.index, found.inputs.places
    assert np.bincount(index.split).tolist() == [200, 34, 80]
    sounds = found.inputs.tables["audio"].index
    assert (sounds.targets[places["audio"]] == index.targets).all()
    number = np.array([int(Path(name).stem.rpartition("_")[2]) for name in sounds.names])[places["audio"]]
    assert all((number[index.split == part] // 5 == [2, 1, 0][part]).all() for part in range(3))
    assert len(np.unique(places["image"])) == 314
    assert (places["image"][index.split == 2] >= 300).all()
    one = joined(
        AVDigits(str(tmp_path), samples=200, test_samples=80, components=3, copies=2, inputs=["audio"]),
        tmp_path,
    )
    assert (one.inputs.places["audio"] == places["audio"]).all()


def test_noise_is_as_loud_as_said_and_another_in_each_copy(tmp_path: Path) -> None:
    tiny_fsdd(Path(tiny_mnist(tmp_path)) / "fsdd")
    noisy = AVDigits(str(tmp_path), decibels=-13.0, copies=2).parts["audio"]
    clean = AVDigits(str(tmp_path), decibels=None, copies=1).parts["audio"]
    row, clips = 7, len(clean.index())
    signal, (one, two) = (
        clean.decode(row).astype(float),
        (noisy.decode(r).astype(float) for r in (row, row + clips)),
    )
    assert np.corrcoef(one, two)[0, 1] < 0.4
    share = 1 / (1 + 10**1.3)  # of the power of a recording in noise, its own
    own = np.mean(one * signal / np.sqrt(np.mean(signal**2))) ** 2 / np.mean(one**2)
    assert share / 4 < own < 3 * share
    assert abs(np.sqrt(np.mean(one**2)) - 2**13) < 200


def test_reduced_pictures_have_few_components_and_the_mean(tmp_path: Path) -> None:
    tiny_mnist(tmp_path)
    reduced = AVDigits(str(tmp_path), components=1).parts["image"]
    whole = load(
        AVDigits(str(tmp_path), components=784).parts["image"], tmp_path / "cache"
    ).inputs.values.astype(float)
    found = load(reduced, tmp_path / "cache").inputs.values.astype(float)
    train = found[:300].reshape(300, -1)
    values = np.linalg.svd(train - train.mean(axis=0), compute_uv=False)
    assert values[1] < 0.05 * values[0]
    assert np.abs(found[:300].mean(axis=0) - whole[:300].mean(axis=0)).max() < 1.0
