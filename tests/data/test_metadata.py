"""The further columns of a table are facts of its rows, whatever rows are left out, and change nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leyden.cli.main import main
from leyden.data.cache import load
from leyden.data.datamodule import rows_of
from leyden.data.index import Index
from leyden.data.metadata import LONGEST, MOST_VALUES, read_metadata
from leyden.data.modalities import modality_of
from leyden.data.sources.image import ImageManifest
from leyden.data.sources.synthetic import PlantedImages
from leyden.data.sources.text import TextTable
from leyden.utils.errors import UserError


def test_numbers_stay_numbers_and_texts_texts() -> None:
    found = read_metadata(
        {"age": ["31", " 40.5", "", "NA"], "site": ["a ", "b", "n/a", ""], "code": ["007", "1", "2", "3"]}
    )
    np.testing.assert_array_equal(found["age"], [31, 40.5, np.nan, np.nan])
    assert found["site"].tolist() == ["a", "b", "", ""]
    assert found["code"].tolist() == ["007", "1", "2", "3"]


def test_columns_without_a_value_and_free_text_are_left_out() -> None:
    columns = {"empty": ["", "NaN"], "long": ["a", "x" * (LONGEST + 1)], "kept": ["a", "x" * LONGEST]}
    assert list(read_metadata(columns)) == ["kept"]
    names = [f"text {i}" for i in range(MOST_VALUES + 1)]
    assert list(read_metadata({"names": names})) == []
    assert list(read_metadata({"names": names[1:], "numbers": list(map(str, range(MOST_VALUES)))})) == [
        "names",
        "numbers",
    ]


def test_bytes_that_are_no_text_do_not_matter() -> None:
    assert read_metadata({"site": ["caf\udce9", "b"]})["site"].tolist() == ["caf?", "b"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures in a table, of which the second is damaged and the fourth a copy of the first."""
    for name in "abcde":
        Image.new("L", (4, 4), ord("a" if name == "d" else name)).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    lines = [
        f"{name}.png,{label},{site},{age}"
        for name, label, site, age in zip("abcde", "xyxxy", "nsnsn", "12345", strict=True)
    ]
    (tmp_path / "all.csv").write_text("\n".join(["path,label,site,age", *lines]) + "\n")
    return tmp_path


def test_rows_that_are_left_out_take_theirs_along(pictures: Path) -> None:
    source = ImageManifest(str(pictures / "all.csv"))
    for _ in range(2):  # decoded, then from the cache
        table = load(source, pictures / "cache", on_bad="skip")
        assert table.index.names[:] == ["a.png", "c.png", "d.png", "e.png"]
        assert table.index.metadata["site"].tolist() == ["n", "n", "s", "n"]
        assert table.index.metadata["age"].tolist() == [1, 3, 4, 5]
    kept = rows_of(table, modality_of(source), True)
    assert table.index.take(kept).metadata["age"].tolist() == [1, 3, 5]


def test_columns_that_are_used_are_no_metadata(pictures: Path) -> None:
    source = ImageManifest(str(pictures / "all.csv"), label_column=["label", "age"], group_column="site")
    assert source._listing.metadata == {}


def test_the_fingerprint_is_that_from_before_there_were_metadata(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("text,label,site\nhello,a,n\nyou,b,s\n")
    source = TextTable(str(tmp_path / "all.csv"))
    assert source.fingerprint(tmp_path) == "3fe427d60708994013c558af4c17cdce"
    assert source.index().metadata["site"].tolist() == ["n", "s"]


def test_texts_of_several_files_and_records(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label,site,site2,site2\nhello,a,n,1,1\nyou,b,s,1,1\n")
    records = [
        {"text": "there", "label": "a", "age": 5, "tags": ["x"]},
        {"text": "that", "label": "b", "": 1},
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    index = TextTable(str(tmp_path / "train.csv"), test_path=str(tmp_path / "test.jsonl")).index()
    assert list(index.metadata) == ["site", "age"]
    assert index.metadata["site"].tolist() == ["n", "s", "", ""]
    np.testing.assert_array_equal(index.metadata["age"], [np.nan, np.nan, 5, np.nan])


class Own(PlantedImages):
    """A source of the user's own that knows something of its rows."""

    known: Any = None

    def index(self) -> Index:
        made = super().index()
        return Index(made.targets, made.target_names, metadata={"site": self.known})


def test_a_source_of_ones_own_gives_metadata(tmp_path: Path) -> None:
    source = Own(samples=20)
    source.known = np.array(["n", "s"] * 10)
    assert load(source, tmp_path).index.metadata["site"].tolist() == ["n", "s"] * 10


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (np.zeros(19), r"float64 \(19,\); expected .* shape \(20,\)"),
        (np.array([None] * 20), "is object"),
        (["n"] * 20, "'site' is list; expected an array"),
    ],
)
def test_metadata_that_cannot_be_kept_are_refused(known: Any, message: str, tmp_path: Path) -> None:
    source = Own(samples=20)
    source.known = known
    with pytest.raises(UserError, match=message):
        load(source, tmp_path)


def test_leyden_data_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"text {i},{'ab'[i % 2]},{'nsw'[i % 3]},{i},x" for i in range(40)]
    (tmp_path / "all.csv").write_text("\n".join(["text,label,site,age,", *lines]) + "\n")
    assert (
        main(["data", "data=text_table", f"data.source.path={tmp_path / 'all.csv'}", f"cache={tmp_path}"])
        == 0
    )
    assert "metadata: site (3 values), age (0 to 39)" in capsys.readouterr().out
