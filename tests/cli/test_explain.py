"""`leyden explain`: a table, JSON, a figure and a page of a small run; wrong words end with one message."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from leyden.cli.main import main
from leyden.training.job import train

WORDS = ["data=planted_images", "data.source.samples=240", "data.source.size=12", "model=cnn"]
QUICK = ["model.net.widths=[8,16]", "trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train([*WORDS, *QUICK, f"runs={tmp_path_factory.mktemp('runs')}"]).folder


@pytest.fixture
def explain(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs the command on the run, in an empty folder; gives status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        status = main(["explain", str(folder), *words])
        return (status, *capsys.readouterr())

    return run


def test_without_flags_the_worst_errors_are_explained_and_tested(explain: Run) -> None:
    status, out, _ = explain()
    assert status == 0
    assert out.count("picture ") >= 5
    assert re.search(r"5 maps by [\w ]+, from the data's mean\.", out)
    assert "standard errors better than random orders" in out
    assert "passed" in out or "failed" in out


def test_json_holds_maps_tests_and_nothing_else(explain: Run) -> None:
    status, out, _ = explain(
        "--rows",
        "3,17",
        "--target",
        "pattern 1",
        "--method",
        "integrated_gradients",
        "--json",
        "--picture",
        "maps.png",
        "--html",
        "maps.html",
    )
    found = json.loads(out)
    assert status == 0
    assert [each["row"] for each in found] == [3, 17]
    assert [len(found[0]["values"]), len(found[0]["values"][0])] == [12, 12]
    assert found[0]["scalar"] == "logit of 'pattern 1'"
    assert found[0]["test"]["orders"] > 0
    assert found[0]["method"] == "integrated_gradients"
    total = sum(map(sum, found[0]["values"]))
    assert total == pytest.approx(found[0]["score"] - found[0]["baseline_score"], abs=0.02)
    with Image.open("maps.png") as picture:
        assert picture.size[0] > 500
    assert Path("maps.html").read_text().count("<article") == 2


def test_files_are_explained_as_predict_reads_them(explain: Run, folder: Path) -> None:
    for grey in (30, 200):
        Image.new("L", (12, 12), grey).save(f"{grey}.png")
    status, out, _ = explain("30.png", "200.png", "--method", "occlusion", "--window", "4,4", "--no-test")
    assert status == 0
    assert "30.png" in out
    assert "2 maps by occlusion" in out
    assert "passed" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows", "500"], "row 500: the table has rows 0 to 239"),
        (["--rows", "a"], "--rows a: expected whole numbers"),
        (["--rows", "3", "--worst", "2"], "--rows and --worst: choose one"),
        (["x.png", "--split", "val"], "files and --split: choose one"),
        (["--worst", "0"], "--worst 0: must be at least 1"),
        (["--target", "patern 1"], "--target patern 1: did you mean 'pattern 1'"),
        (["--method", "gradcam"], "argument --method"),
        (["--baseline", "noise"], "--baseline noise: there is none for this run's input"),
        (["--input", "waveform"], "--input waveform: the run is on image"),
        (["--window", "3,3"], "--window is of occlusion"),
        (["--method", "occlusion", "--window", "40,3"], "--window 40,3: expected 2 of 1 to 12,12"),
        (["nothing.png"], "explain: there is no file nothing.png"),
        (["--html", "nowhere/maps.html"], "there is no folder nowhere"),
        (["--picture", "maps.gif"], "--picture maps.gif: the name must end in"),
        (["data.source.seed=1"], "the data are not those that it was trained on"),
    ],
)
def test_wrong_words_end_with_one_message_and_status_2(explain: Run, words: list[str], message: str) -> None:
    status, out, said = explain(*words)
    assert (status, out) == (2, "")
    assert message in said
    assert said.count("\n") == 1
    assert not list(Path().iterdir())


def test_a_run_without_weights_says_what_to_do(
    explain: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    (bare / "checkpoints" / "best.ckpt").unlink()
    assert main(["explain", str(bare)]) == 2
    assert "has no best checkpoint" in capsys.readouterr().err


def test_the_words_that_are_offered_are_those_that_there_are() -> None:
    """Written out in the command, whose help is printed without torch."""
    from leyden.cli import check_explain, explain
    from leyden.interpretation import explained, planted
    from leyden.interpretation.attribution import METHODS

    assert tuple(METHODS) == explain.METHODS
    assert explain.WORST == explained.WORST
    asked = check_explain._parser().parse_args([])
    assert (asked.rows, asked.epochs) == (planted.ROWS, planted.EPOCHS)
