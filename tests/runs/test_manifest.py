"""The git state that a run records."""

import subprocess
from pathlib import Path

import pytest

from leyden.runs.manifest import git_diff, git_state


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "net.py").write_text("width = 8\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_no_git_state_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {}
    assert git_diff(tmp_path) == ""
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) == {}, "there is no commit yet"


def test_the_commit_and_whether_anything_has_changed_since(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state(checkout) == {"commit": commit, "changed": False}
    (checkout / "other.py").touch()
    assert git_state(checkout) == {"commit": commit, "changed": True}
    (checkout / "other.py").unlink()
    (checkout / "net.py").write_text("width = 16\n")
    assert git_state(checkout) == {"commit": commit, "changed": True}
    assert "+width = 16" in git_diff(checkout)


def test_in_a_folder_of_the_checkout_and_on_no_branch(checkout: Path) -> None:
    (checkout / "runs").mkdir()
    git(checkout, "checkout", "-q", "--detach")
    assert git_state(checkout / "runs") == {"commit": git(checkout, "rev-parse", "HEAD"), "changed": False}
