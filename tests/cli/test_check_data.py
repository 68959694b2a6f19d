"""`leyden check data`: exit status, table, JSON, figure, and suggested commands."""

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import tiny_data
from leyden.cli.main import main
from leyden.config.compose import compose
from near_copies import image_copy

QUICK = ["threads=1"]


def table(path: Path, copies: int) -> list[str]:
    """A table of texts in which `copies` test rows repeat training rows."""
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + c) for c in rng.integers(0, 26, 6)) for _ in range(300)]
    rows = [(" ".join(rng.choice(words, 12)), i % 2, "train" if i < 120 else "test") for i in range(200)]
    for copy in range(copies):
        rows[120 + copy] = (rows[copy][0].upper(), rows[120 + copy][1], "test")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])
    return ["data=text_table", f"data.source.path={path}", "data.source.split_column=split", *QUICK]


def test_a_leak_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*table(tmp_path / "t.csv", 20), "data.deduplicate=false"]
    assert main(["check", "data", *overrides]) == 1
    printed = capsys.readouterr().out
    assert "duplicates across the split" in printed
    assert printed.count("error:") == 1
    assert main(["check", "data", *overrides, "data.deduplicate=true"]) == 0


def test_advice_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*table(tmp_path / "t.csv", 20), "data.deduplicate=false"]
    assert main(["check", "data", *overrides]) == 1
    lines = " ".join(capsys.readouterr().out.split()).split("try: ")
    pasted = shlex.split(lines[1].split(" warning:")[0].split(" info:")[0].split(" 1 error")[0])
    assert pasted[:2] == ["leyden", "train"]
    assert compose(pasted[2:])["data"]["deduplicate"] is True
    assert sum(word.startswith("data.deduplicate") for word in pasted) == 1


def test_json_is_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "data", *table(tmp_path / "t.csv", 20), "data.deduplicate=false", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [f["level"] for f in found] == sorted(
        (f["level"] for f in found), key=["error", "warning", "info"].index
    )
    assert found[0]["id"] == "split_leak"
    assert ["t.csv:122 (test)", "t.csv:2"] in found[0]["evidence"]["pairs"]


@pytest.mark.parametrize("experiment", ["planted_images", "planted_text", "planted_audio"])
def test_shipped_experiments_are_healthy(experiment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "data", f"experiment={experiment}", *QUICK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["check", "data", f"experiment={experiment}", *QUICK]) == 0
    assert "no problems found" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cifar10_lt", "cifar10_resnet32", "ag_news", "speech_commands"])
def test_sets_in_the_layout_of_the_real_ones_are_read(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_data.WRITERS["cifar10" if name.startswith("cifar10") else name](tmp_path)
    more = ["split.val=0.1", "long_tail.ratio=4"] if name == "cifar10_lt" else []
    assert (
        main(["check", "data", f"experiment={name}", f"data_root={tmp_path}", *more, *QUICK, "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert {f["id"] for f in found} <= {
        "small_class",
        "class_missing",
        "near_duplicates",
        "out_of_vocabulary",
    }


def pictures(root: Path) -> list[str]:
    rng = np.random.default_rng(0)
    for row in range(120):
        image = rng.integers(60, 196, (1, 4, 4), dtype=np.uint8).repeat(7, 1).repeat(7, 2)
        for part in ("train", "test") if row < 20 else (("train", "test")[row % 2],):
            folder = root / part / str(row % 2 if row < 20 else row // 2 % 2)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(folder / f"{row}.png")
            image = image_copy(image, rng)
    return ["data=image_folder", f"data.source.root={root}", *QUICK]


def test_what_was_passed_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = pictures(tmp_path / "pictures")
    first, other = (Image.new("L", (28, 28), grey) for grey in (10, 90))
    first.save(tmp_path / "pictures" / "train" / "1" / "a.gif", save_all=True, append_images=[other])
    (tmp_path / "pictures" / "train" / "1" / "notes.txt").touch()
    main(["check", "data", *overrides, "data.source.channels=1", "--json"])
    said = [f["message"] for f in json.loads(capsys.readouterr().out) if f["id"] == "reading"]
    assert len(said) == 2
    assert "of another kind (.txt 1)" in said[0]
    assert "1 file with several" in said[1]


def test_near_duplicates_are_plotted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = pictures(tmp_path / "pictures")
    target = tmp_path / "pairs.png"
    assert main(["check", "data", *overrides, "--picture", str(target)]) == 0
    assert "figure of 12 pairs of near duplicates written" in " ".join(capsys.readouterr().out.split())
    drawn = np.asarray(Image.open(target).convert("L"))
    assert drawn.std() > 10


def test_near_duplicates_are_plotted_as_waveforms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for row in range(80):
        wave = rng.normal(0, 0.1, 4000)
        for part in ("train", "test") if row < 9 else (("train", "test")[row % 2],):
            folder = tmp_path / "a" / part / str(row // 2 % 2)
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{row}.wav", wave, 8000)
            wave = wave * 0.7 + rng.normal(0, 0.002, 4000)
    target = tmp_path / "pairs.png"
    overrides = ["data=audio_folder", f"data.source.root={tmp_path / 'a'}", *QUICK]
    assert main(["check", "data", *overrides, "--picture", str(target)]) == 0
    assert np.asarray(Image.open(target).convert("L")).std() > 10


def test_without_near_duplicates_no_figure_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "pairs.png"
    assert main(["check", "data", "experiment=planted_images", *QUICK, "--picture", str(target)]) == 0
    assert not target.exists()
    assert "no near duplicates to plot" in capsys.readouterr().out


def test_all_bad_files_are_listed_and_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = pictures(tmp_path / "pictures")
    (tmp_path / "pictures" / "train" / "0" / "bad.png").write_bytes(b"no picture")
    assert main(["check", "data", *overrides, "--json"]) == 1
    (finding,) = [f for f in json.loads(capsys.readouterr().out) if f["level"] == "error"]
    assert (finding["id"], finding["advice"]) == ("bad_files", ["data.on_bad=skip"])
    assert "train/0/bad.png" in finding["message"]
    assert main(["check", "data", *overrides, *finding["advice"], "--json"]) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["data=mnst"], "did you mean 'mnist'?"),
        (["--pictures", "x.png"], "did you mean '--picture'"),
        (["--picture", "x.gif"], "must end in"),
        (["experiment=planted_text", "--picture", "x.png"], "texts are printed"),
        (["data=image_folder", "data.source.root=nowhere"], "there is no folder"),
        (["split=grouped"], "no groups"),
    ],
)
def test_a_users_mistake(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "data", *words, *QUICK]) == 2
    assert expected in capsys.readouterr().err
