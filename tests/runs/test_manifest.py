"""The git state and the versions that a run records."""

import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from leyden.runs import manifest, query
from leyden.runs.manifest import git_diff, git_state
from leyden.utils.version import __version__


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


# Settings of a stranger's checkout that name a program, by which git command would start it.
PROGRAMS = {
    "core.fsmonitor": ("PROGRAM",),
    "core.hooksPath": ("HOOKS",),
    "diff.external": ("PROGRAM",),
    "diff.evil.command": ("PROGRAM",),
    "diff.evil.textconv": ("PROGRAM",),
    "filter.evil.clean": ("PROGRAM",),
    "filter.Evil.two.process": ("PROGRAM",),
    "core.pager": ("PROGRAM",),
}


@pytest.mark.parametrize("setting", PROGRAMS)
def test_a_checkout_starts_no_program(setting: str, checkout: Path, tmp_path: Path) -> None:
    mark, outside = tmp_path / "executed", tmp_path / ".git" / "evil"
    outside.mkdir()
    for name in ("program", "post-index-change", "fsmonitor-watchman"):
        (outside / name).write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
        (outside / name).chmod(0o755)
    driver = "Evil.two" if "Evil" in setting else "evil"
    (checkout / ".gitattributes").write_text(f"*.py diff=evil filter={driver}\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "attributes")
    (checkout / "net.py").write_text("width = 9\n")  # of equal size: git must look into it
    git(checkout, "config", setting, str(outside if setting == "core.hooksPath" else outside / "program"))
    assert git_state(checkout)["changed"]
    assert "+width = 9" in git_diff(checkout)
    assert not mark.exists()
    subprocess.run(["git", "status"], cwd=checkout, capture_output=True, check=False)
    subprocess.run(["git", "-c", "core.pager=cat", "diff"], cwd=checkout, capture_output=True, check=False)
    assert mark.exists() or setting == "core.pager", "git alone starts it"


def test_what_a_checkout_lacks_is_not_fetched(checkout: Path, tmp_path: Path) -> None:
    """A partial clone asks its remote for missing objects, by a command that its settings name."""
    mark = tmp_path / "executed"
    blob = git(checkout, "rev-parse", "HEAD:net.py")
    (checkout / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    (checkout / "net.py").write_text("width = 16\n")
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::touch {mark}",
        "protocol.ext.allow": "always",
    }.items():
        git(checkout, "config", key, value)
    assert git_diff(checkout) == ""
    assert not mark.exists()
    subprocess.run(["git", "diff", "HEAD"], cwd=checkout, capture_output=True, check=False)
    assert mark.exists(), "git alone fetches"


def test_the_version_of_leyden_needs_no_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a source tree on PYTHONPATH, which has no metadata."""

    def installed(name: str) -> str:
        if name == "leyden":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(manifest, "version", installed)
    monkeypatch.setattr(query, "version", installed)
    assert manifest.packages.__wrapped__()["leyden"] == __version__
    assert query._installed.__wrapped__("leyden") == __version__
