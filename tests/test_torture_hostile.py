"""scripts/torture_hostile: some cells of its table by default, all of them as a slow test."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "torture_hostile.py"


def run(*words: str, seconds: int = 120) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_table_has_more_than_a_hundred_cells() -> None:
    rows = [line.split() for line in run("--list").splitlines()]
    assert sum(len(row) - 1 for row in rows) > 100
    kinds = {row[0].partition("-")[0] for row in rows}
    assert kinds >= {"pickles", "targets", "interpolations", "links", "fifos", "archives", "yaml", "studies"}
    assert kinds >= {
        "working",
        "terminals",
        "html",
        "csv",
        "markdown",
        "copied",
        "own",
        "unpacked",
        "changed",
    }


@pytest.mark.parametrize(
    "kinds",
    [
        ("links-folders", "fifos-lock", "archives", "csv"),
        pytest.param(("own-interrupted", "changed-run"), marks=pytest.mark.slow),
    ],
)
def test_some_cells_hold(kinds: tuple[str, ...]) -> None:
    words = [word for kind in kinds for word in ("--only", kind)]
    assert ", 0 failures" in run(*words)


@pytest.mark.slow
def test_all_cells_hold() -> None:
    assert ", 0 failures" in run(seconds=1800)
