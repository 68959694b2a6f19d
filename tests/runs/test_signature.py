"""A run's folder is told to be this user's own by a key that lies outside of it, and by nothing else."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leyden.runs import signature


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "leyden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    for name in ("config.yaml", "manifest.json"):
        (tmp_path / "run" / name).write_text(f"{name} of a run")
    return tmp_path / "run"


def test_what_was_signed_is_ones_own_wherever_it_lies(state: Path, folder: Path, tmp_path: Path) -> None:
    assert not signature.is_own(folder)
    assert signature.sign(folder)
    assert signature.is_own(folder)
    assert signature.is_own(folder.rename(tmp_path / "moved"))
    assert stat.S_IMODE((state / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [path.name for path in state.iterdir()] == ["key"]


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json", "signature"])
def test_another_byte_or_a_missing_file_is_another_run(name: str, state: Path, folder: Path) -> None:
    signature.sign(folder)
    path = folder / name
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert not signature.is_own(folder)
    path.unlink()
    assert not signature.is_own(folder)


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json", "signature"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("copy")], ids=["pipe", "link"])
def test_a_pipe_or_a_link_is_another_run(
    make: Callable[[Path], object], name: str, state: Path, folder: Path
) -> None:
    signature.sign(folder)
    (folder / name).rename(folder / "copy")
    make(folder / name)
    assert not signature.is_own(folder)


def test_a_signature_is_not_written_through_a_link(state: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (folder / "signature").symlink_to(tmp_path / "precious")
    assert signature.sign(folder)
    assert (tmp_path / "precious").read_text() == "mine"
    assert signature.is_own(folder)


def test_two_files_cannot_exchange_bytes(state: Path, folder: Path) -> None:
    signature.sign(folder)
    config, manifest = ((folder / name).read_text() for name in ("config.yaml", "manifest.json"))
    (folder / "config.yaml").write_text(config + manifest[:1])
    (folder / "manifest.json").write_text(manifest[1:])
    assert not signature.is_own(folder)


def test_another_key_does_not_know_it(state: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signature.sign(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(state.parents[1] / "other"))
    assert not signature.is_own(folder)
    assert not signature.key_path().exists(), "looking makes no key"


def spoil(path: Path, how: str) -> None:
    if how == "readable":
        path.chmod(0o640)
    elif how == "a link":
        path.rename(path.with_name("other"))
        path.symlink_to(path.with_name("other"))
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path, 0o600)
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(b"" if how == "empty" else b"x" * 33)


@pytest.mark.parametrize("how", ["readable", "a link", "a pipe", "a folder", "empty", "long"])
def test_a_key_that_others_may_have_made_is_none(how: str, state: Path, folder: Path) -> None:
    signature.sign(folder)
    spoil(state / "key", how)
    assert not signature.is_own(folder)
    assert not signature.sign(folder)


def test_without_a_place_for_a_key_nothing_is_signed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("a file")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert not signature.sign(folder)
    assert not (folder / "signature").exists()


def test_a_relative_state_folder_is_not_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the XDG specification says; it would lie in the working folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("state", ""):
        monkeypatch.setenv("XDG_STATE_HOME", given)
        assert signature.key_path() == tmp_path / ".local" / "state" / "leyden" / "key"


def test_of_many_who_begin_at_once_all_have_one_key(state: Path, folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: signature.user_key(), range(32)))
    assert len(set(keys)) == 1
    assert keys[0] is not None
