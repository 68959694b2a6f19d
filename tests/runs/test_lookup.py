"""A word that means a run."""

import os
from pathlib import Path

import pytest

from leyden.runs.lookup import find_runs
from run_folders import write


def test_last_is_the_run_that_ended_last_of_those_started_in_one_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seconds, seed in enumerate((1, 3, 2)):
        folder = write(Path("runs"), seed=seed)
        os.utime(folder / "result.json", (seconds, seconds))
    assert find_runs("last") == [folder]
