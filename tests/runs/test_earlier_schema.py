"""Runs of earlier versions: of schema 1 listed and compared, refused with one line for their weights; of 2 read."""

import json
from pathlib import Path
from typing import Any

import pytest

from leyden.cli.main import main
from leyden.health import step_snapshot
from leyden.inference.evaluate import evaluate
from leyden.runs import records
from leyden.training.job import Outcome, train
from run_folders import write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = write(Path("runs"), monitor="val/loss", accuracy=0.8)
    (folder / "config.yaml").write_text("name: digits\n", encoding="utf-8")
    for name in ("manifest.json", "result.json"):
        content = json.loads((folder / name).read_text())
        content["schema"] = 1
        for split in content.get("metrics", {}).values():
            del split["loss"]  # which schema 1 did not have
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("command", [["runs"], ["runs", "show"]])
def test_they_are_listed_and_shown(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, str(folder)] if command[-1] == "show" else command) == 0
    assert "0.2" in capsys.readouterr().out  # the loss


def test_they_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 0  # by the loss, which they watched
    assert "0.2" in capsys.readouterr().out


def test_their_loss_is_the_log_loss_that_they_stored(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["test"] == pytest.approx(0.2)


@pytest.mark.parametrize("command", [["evaluate"], ["predict"]])
def test_what_needs_their_weights_refuses_them_with_the_new_names(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["a.png"] if command == ["predict"] else []
    assert main([*command, str(folder), *files]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "schema 1" in error
    assert "loss, decision and scheduler" in error


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    words = ["data=digits", "model=mlp", "trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        long_tail = ["long_tail=exponential", "long_tail.ratio=20", "sampling=balanced"]
        outcome = train([*words, *long_tail, f"runs={Path.cwd() / 'runs'}"])
    assert outcome.status == "complete", outcome.message
    return outcome


@pytest.fixture
def second(trained: Outcome) -> Any:
    """The run as schema 2 stored it."""
    files = {name: trained.folder / name for name in ("result.json", "manifest.json")}
    contents = {name: path.read_text() for name, path in files.items()}
    for name, path in files.items():
        text = contents[name].replace('"schema": 3', '"schema": 2')
        for now, then in NAMES.items():
            text = text.replace(f'"{now}":', f'"{then}":')
        path.write_text(text)
    yield trained.folder
    for name, path in files.items():
        path.write_text(contents[name])


NAMES = {
    "effective": "seen",
    "unique_samples": "unique",
    "draws_per_sample": "repeats",
    "recall_gap": "gap",
}


def test_fields_of_schema_2_have_the_names_of_today(trained: Outcome, second: Path) -> None:
    now = {name: trained.result[name] for name in ("prior", "classes")}
    stored = json.loads((second / "result.json").read_text())
    assert {*NAMES.values()} <= {*stored["prior"]["phases"][0], *stored["classes"][0]}
    for record in (records.read(second), *records.survey(second)):
        assert {name: record.result[name] for name in now} == now


def test_a_run_of_schema_2_is_evaluated_under_another_decision_rule(trained: Outcome, second: Path) -> None:
    found = evaluate(second, splits=("test",), decision="training_prior")
    assert (
        found["test"]["values"] != trained.result["metrics"]["test"]["values"]
    )  # the stored prior was found
    again = evaluate(second, splits=("test",))
    assert again["test"]["values"] == trained.result["metrics"]["test"]["values"]


def test_a_run_of_schema_2_keeps_the_folder_of_its_bad_step(tmp_path: Path) -> None:
    snapshot = step_snapshot.StepSnapshot(3, 0, (), {}, "loss", 0)
    assert step_snapshot.write(snapshot, tmp_path) == tmp_path / "bad_step" / "rank0.pt"
    (tmp_path / "bad_step").rename(tmp_path / "blackbox")
    step_snapshot.recovery_file(tmp_path).write_text('{"passed": [[0, 1, 2]]}')
    assert step_snapshot.read(tmp_path) == [snapshot]
    assert step_snapshot.read_recovery(tmp_path) == {"passed": [[0, 1, 2]]}
    assert {path.name for path in tmp_path.iterdir()} == {"blackbox"}
