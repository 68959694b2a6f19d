"""`leyden errors`: the table, the CSV, and runs that cannot be shown, each in one message."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leyden.cli.main import main
from leyden.training.job import train

QUICK = ("trainer=cpu", "threads=1", "logger=none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run that gets some digits wrong."""
    root = tmp_path_factory.mktemp("trained")
    words = ["data=digits", "model=linear", "trainer.max_epochs=3", *QUICK]
    return train([*words, f"runs={root}", f"cache={root / 'cache'}"]).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in the working folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, Path("runs/default/digits-0123456789")))


def wrong_of(run: Path, split: str = "val") -> np.ndarray:
    with np.load(run / "predictions" / f"{split}.npz") as stored:
        return np.flatnonzero(stored["labels"] != stored["predicted"])


def test_the_table_counts_errors_and_names_the_worst(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors", "last"]) == 0
    out = capsys.readouterr().out
    wrong = len(wrong_of(run))
    assert wrong > 5
    assert f"val: {wrong} of " in out
    assert "errors by class" in out
    assert "most often" in out
    assert "worst by loss" in out
    assert "leyden errors runs/default/digits-0123456789 --split val --csv" in out
    assert "leyden train data=digits" in out


def test_the_csv_holds_every_error_and_its_numbers(run: Path) -> None:
    assert main(["errors", str(run), "--split", "test", "--csv", "e.csv"]) == 0
    lines = list(csv.DictReader(Path("e.csv").read_text().splitlines()))
    with np.load(run / "predictions/test.npz") as file:
        stored = dict(file)
    place = {int(row): i for i, row in enumerate(stored["rows"])}
    assert sorted(place[int(line["row"])] for line in lines) == wrong_of(run, "test").tolist()
    for line in lines:
        at = place[int(line["row"])]
        p, label = stored["probabilities"][at].astype(float), stored["labels"][at]
        assert (line["true"], line["answer"]) == (str(label), str(stored["predicted"][at]))
        assert float(line["probability"]) == pytest.approx(p.max(), rel=1e-4)
        assert float(line["loss"]) == pytest.approx(-np.log(p[label]), rel=1e-4)
        assert float(line["margin"]) == pytest.approx(p[label] - np.delete(p, label).max(), rel=1e-4)


def test_suspects_are_listed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors", str(run), "--suspects"]) == 0
    out = capsys.readouterr().out
    assert "no group of training rows stands apart" in out
    assert "nearest differ" in out


def test_the_csv_of_suspects_holds_every_training_row(run: Path) -> None:
    assert main(["errors", str(run), "--suspects", "--csv", "s.csv"]) == 0
    lines = list(csv.DictReader(Path("s.csv").read_text().splitlines()))
    with np.load(run / "predictions/margins.npz") as file:
        stored = dict(file)
    known = np.isfinite(stored["margins"])
    by_row = {int(row): i for i, row in enumerate(stored["rows"])}
    assert len(lines) == known.sum()
    scores = [float(line["score"]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    for line in lines[:5]:
        at = by_row[int(line["row"])]
        assert float(line["score"]) == pytest.approx((1 - stored["margins"][at]) / 2, rel=1e-4)
        assert (line["label"], line["more_likely"]) == (str(stored["labels"][at]), str(stored["answers"][at]))


def test_a_run_without_margins_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "predictions/margins.npz").unlink()
    assert main(["errors", str(run), "--suspects"]) == 2
    assert "has no margins of its training rows" in capsys.readouterr().err


def test_margins_of_other_data_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "predictions/margins.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez_compressed(path, **{**arrays, "labels": (arrays["labels"] + 1) % 10})
    assert main(["errors", str(run), "--suspects"]) == 2
    assert "margins.npz is damaged (its rows are not those of the data set)" in capsys.readouterr().err


def test_predictions_that_were_not_stored_are_made_again(run: Path) -> None:
    """As of a module of the user's own, which keeps no outputs."""
    assert main(["errors", str(run), "--csv", "stored.csv"]) == 0
    shutil.rmtree(run / "predictions")
    assert main(["errors", str(run), "--csv", "made.csv"]) == 0
    stored, made = (
        list(csv.DictReader(Path(f"{name}.csv").read_text().splitlines())) for name in ("stored", "made")
    )
    assert len(stored) > 5
    assert [{**line, "loss": "", "margin": "", "probability": ""} for line in made] == [
        {**line, "loss": "", "margin": "", "probability": ""} for line in stored
    ]
    for one, other in zip(stored, made, strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)


def change_rows(run: Path) -> None:
    path = run / "predictions/val.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez_compressed(path, **{**arrays, "rows": arrays["rows"] + 5000})


def change_labels(run: Path) -> None:
    path = run / "predictions/val.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez_compressed(path, **{**arrays, "labels": (arrays["labels"] + 1) % 10})


def change_answers(run: Path) -> None:
    path = run / "predictions/val.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez_compressed(path, **{**arrays, "predicted": arrays["predicted"] + 9})


def other_data(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "data": "0123456789abcdef"}))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (change_rows, "val.npz is damaged"),
        (change_labels, "val.npz is damaged"),
        (change_answers, "val.npz is damaged"),
        (other_data, "the data are not those"),
        (lambda run: (run / "predictions/val.npz").write_bytes(b"x"), "val.npz is damaged"),
        (lambda run: (run / "spec.json").write_text("{}"), "spec.json is damaged"),
        (lambda run: (run / "result.json").write_text("{}"), "result.json is damaged"),
    ],
)
def test_a_damaged_run_is_one_message(
    damage: Callable[[Path], object], why: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    assert main(["errors", str(run), "--csv", "e.csv"]) == 2
    said = capsys.readouterr()
    assert why in said.err
    assert said.err.startswith("leyden: ")
    assert said.err.count("\n") == 1
    assert not Path("e.csv").exists()


def test_a_file_that_cannot_be_written_is_said_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["errors", str(run), "--csv", "nowhere/e.csv"]) == 2
    assert "there is no folder nowhere" in capsys.readouterr().err
