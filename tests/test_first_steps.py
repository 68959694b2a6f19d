"""docs/first-steps.md, from the first command to the last, as a newcomer types them."""

from pathlib import Path

import pytest

import pages
from leyden.cli.main import main
from words import last_of_each

QUICK = ["trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none"]


def test_every_command_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = pages.commands("first-steps.md")
    assert len(commands) == 10
    for words in commands:
        found = [sorted(map(str, Path().glob(word)))[:1] if "*" in word else [word] for word in words[1:]]
        arguments = [word for several in found for word in several]
        quick = QUICK if words[1] == "train" else []
        assert main(last_of_each([*arguments, *quick])) == 0, words
    assert Path("report.html").stat().st_size > 1000
