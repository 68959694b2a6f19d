"""`leyden cache`: list and remove decoded data sets."""

import os
import re
from pathlib import Path

import pytest

from leyden.cli.main import main
from leyden.data.cache_entries import entries


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets and the ids of a tokenizer, decoded by `leyden data`; and what is none of them."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cache"
    for words in (["data=digits"], ["data=planted_text", "data.source.samples=60"]):
        assert main(["data", *words, f"cache={folder}"]) == 0
    (folder / "notes").mkdir()
    (folder / "mine.txt").write_text("mine")
    return folder


def output_of(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    capsys.readouterr()
    assert main(["cache", *words]) == status
    shown = capsys.readouterr()
    return shown.err if status == 2 else shown.out


def test_list_and_remove(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEYDEN_CACHE", str(cache))
    shown = output_of(capsys)
    assert [line.split()[-1:] for line in output_of(capsys, "list").splitlines()] == [
        line.split()[-1:] for line in shown.splitlines()
    ]
    digits = next(line for line in shown.splitlines() if "Digits" in line)
    assert re.search(r"Digits +1,797 +\d+\.\d kB +\d+ s +[0-9a-f]{32}", digits)
    assert "3 data sets in" in shown
    assert "tokens" in shown
    assert "nothing removed: no terminal" in output_of(capsys, "rm", "digits", status=2)
    assert "removed 1 data set" in output_of(capsys, "rm", digits.split()[-1][:6], "Digits", "--yes")
    assert {entry.source for entry in entries(cache)} == {"PlantedText", "tokens"}
    assert "removed 2 data sets" in output_of(capsys, "rm", "*", "-y", "--cache", str(cache))
    assert {path.name for path in cache.iterdir()} >= {"notes", "mine.txt"}, "nothing else is touched"
    assert "0 data sets" in output_of(capsys)
    assert main(["data", "data=digits"]) == 0, "it is decoded again"
    assert [entry.source for entry in entries(cache)] == ["Digits"]


def test_a_link_and_a_damaged_entry(cache: Path) -> None:
    (damaged, *_) = (entry.folder for entry in entries(cache) if entry.source == "Digits")
    (damaged / "table.json").write_text("{")
    (cache / ("0" * 32)).symlink_to(cache / "notes")
    assert "0" * 32 not in {entry.name for entry in entries(cache)}
    assert {entry.inputs for entry in entries(cache) if entry.folder == damaged} == {None}
    (damaged / "table.json").unlink()
    os.mkfifo(damaged / "table.json")
    assert {entry.inputs for entry in entries(cache) if entry.folder == damaged} == {None}


def test_a_pipe_among_token_ids_is_named(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (values,) = cache.glob("tokens-*/values.npy")
    values.unlink()
    os.mkfifo(values)
    assert main(["data", "data=planted_text", "data.source.samples=60", f"cache={cache}"]) == 2
    assert "values.npy is neither a file nor a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rm"], "required: ENTRY"),
        (["rm", "zzz", "--yes"], "holds no data set of this fingerprint or source"),
        (["rm", "Digitz", "--yes"], "did you mean 'Digits'"),
        (["rm", "", "--yes"], "''"),
        (["remove"], "'remove'"),
    ],
)
def test_mistakes(cache: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = entries(cache)
    assert said in output_of(capsys, *words, "--cache", str(cache), status=2)
    assert entries(cache) == before
