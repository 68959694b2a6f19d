"""Content digests: read once, remembered by status, independent of where the files lie."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leyden.data import fingerprint as fingerprints
from leyden.data.fingerprint import digest_files, fingerprint
from leyden.utils.errors import UserError


def make(root: Path, contents: dict[str, bytes], age: float = 100.0) -> list[Path]:
    """Files under root, last changed `age` seconds ago."""
    paths = []
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (time.time() - age,) * 2)
        paths.append(path)
    return paths


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files may be remembered at once: no program can give one an older time of change."""
    monkeypatch.setattr(fingerprints, "SETTLED", -10.0)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, in order."""
    seen: list[str] = []
    original = fingerprints._digest_file
    monkeypatch.setattr(fingerprints, "_digest_file", lambda path: (seen.append(path), original(path))[1])
    return seen


def test_second_time_reads_nothing(tmp_path: Path, reads: list[str]) -> None:
    paths = make(tmp_path / "d", {"a/x": b"1", "b/y": b"22"})
    first = digest_files(paths, tmp_path / "d", tmp_path / "cache")
    assert len(reads) == 2
    assert digest_files(paths, tmp_path / "d", tmp_path / "cache") == first
    assert len(reads) == 2
    assert set(first) == {"a/x", "b/y"}


@pytest.mark.parametrize("change", ["content", "time"])
def test_changed_file_is_read_again(tmp_path: Path, reads: list[str], change: str) -> None:
    root, cache = tmp_path / "d", tmp_path / "cache"
    paths = make(root, {"x": b"old", "y": b"same"})
    first = digest_files(paths, root, cache)
    make(root, {"x": b"new!" if change == "content" else b"old"}, age=50)
    second = digest_files(paths, root, cache)
    assert [Path(read).name for read in reads[2:]] == ["x"]
    assert (second["x"] != first["x"]) == (change == "content")
    assert second["y"] == first["y"]


def replaced(path: Path, content: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


@pytest.mark.parametrize("write", [Path.write_bytes, replaced])
def test_a_change_that_keeps_size_and_time_is_noticed(
    tmp_path: Path, reads: list[str], write: Callable[[Path, bytes], object]
) -> None:
    root, cache = tmp_path / "d", tmp_path / "cache"
    (path,) = make(root, {"x": b"old"})
    first, before = digest_files([path], root, cache), path.stat()
    write(path, b"new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert digest_files([path], root, cache) != first
    assert len(reads) == 2


def test_just_written_files_are_not_remembered(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprints, "SETTLED", 2.0)
    paths = make(tmp_path / "d", {"x": b"1"})
    for _ in range(2):
        digest_files(paths, tmp_path / "d", tmp_path / "cache")
    assert len(reads) == 2  # it could change once more within its clock's resolution


def test_same_content_elsewhere_has_the_same_digests(tmp_path: Path) -> None:
    contents = {"a/x": b"1", "b/y": b"22"}
    here, there = (make(tmp_path / place, contents) for place in ("here", "over/there"))
    cache = tmp_path / "cache"
    assert digest_files(here, tmp_path / "here", cache) == digest_files(
        there, tmp_path / "over" / "there", cache
    )


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"x": 3, "y": ["?"]}', b"\xff\xfe"])
def test_damaged_memory_only_costs_time(tmp_path: Path, reads: list[str], damage: bytes) -> None:
    root, cache = tmp_path / "d", tmp_path / "cache"
    paths = make(root, {"x": b"1"})
    first = digest_files(paths, root, cache)
    (memory,) = (cache / "digests").iterdir()
    memory.write_bytes(damage)
    assert digest_files(paths, root, cache) == first
    assert len(reads) == 2
    assert json.loads(memory.read_bytes())["x"][-1] == first["x"]


def test_missing_files_are_listed_together(tmp_path: Path) -> None:
    paths = make(tmp_path, {"there": b"1"}) + [tmp_path / f"gone{i:02}" for i in range(25)]
    with pytest.raises(UserError) as caught:
        digest_files(paths, tmp_path, tmp_path / "cache")
    message = str(caught.value)
    assert "25 files missing" in message
    assert "gone00" in message
    assert "gone19" in message
    assert "gone20" not in message
    assert "and 5 more" in message


def test_fingerprint_follows_type_arguments_and_digests() -> None:
    class A: ...

    class B: ...

    base = fingerprint(A(), {"size": 3, "b": None}, {"x": "1"})
    assert base == fingerprint(A(), {"b": None, "size": 3}, {"x": "1"})
    others = [
        fingerprint(B(), {"size": 3, "b": None}, {"x": "1"}),
        fingerprint(A(), {"size": 4, "b": None}, {"x": "1"}),
        fingerprint(A(), {"size": 3, "b": None}, {"x": "2"}),
        fingerprint(A(), {"size": 3, "b": None}, {"y": "1"}),
    ]
    assert len({base, *others}) == 5


def test_a_pipe_is_no_file_of_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="or no regular files:\n  pipe"):
        digest_files([tmp_path / "pipe"], tmp_path, tmp_path / "cache")
