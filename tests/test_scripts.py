"""The Python scripts of scripts/: each is started by its name without .py, from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "scripts"
SCRIPTS = sorted(FOLDER.glob("*.py"))


def test_scripts_are_found() -> None:
    assert len(SCRIPTS) >= 10


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_has_a_command_of_its_name(script: Path) -> None:
    command = script.with_suffix("")
    lines = command.read_text(encoding="utf-8").splitlines()
    assert os.access(command, os.X_OK)
    assert lines[0] == "#!/usr/bin/env bash"
    assert f"/scripts/{script.name}" in lines[-1]
    assert len(lines) <= 4


@pytest.mark.skipif(not (FOLDER.parent / ".venv").exists(), reason="the commands run the Python of .venv")
def test_a_command_runs_its_script_from_another_folder(tmp_path: Path) -> None:
    words = [str(FOLDER / "make_own_data"), "my data", "--count", "2"]
    subprocess.run(words, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "my data" / "images.csv").exists()


@pytest.mark.parametrize("part", ["intervals", "tests"])
def test_the_audit_has_its_parts(part: str) -> None:
    words = [sys.executable, str(FOLDER / "audit.py"), "--part", part, "--help"]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert shown.startswith(f"usage: scripts/audit --part {part}")
