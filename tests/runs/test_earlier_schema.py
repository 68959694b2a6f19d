"""Runs of an earlier version (schema 1): listed, shown, compared; refused with one line where weights are read."""

import json
from pathlib import Path

import pytest

from leyden.cli.main import main
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
    assert main(["report"]) == 0
    assert "0.8" in capsys.readouterr().out


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
