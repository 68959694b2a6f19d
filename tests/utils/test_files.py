"""Files of a run's folder that a stranger may have made: opened, read and locked without leaving the folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from leyden.utils.errors import UserError
from leyden.utils.files import (
    atomic_write,
    is_locked,
    json_object,
    open_lock,
    open_regular,
    read_json,
    read_text,
    read_yaml,
    verify_plain,
    verify_shape,
)


def link(path: Path) -> None:
    (path.parent / "outside.txt").write_text("precious")
    path.symlink_to("outside.txt")


NO_FILES: dict[str, Callable[[Path], object]] = {
    "link": link,
    "loop": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())
def test_only_regular_files_are_opened(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(OSError, match=r"link|regular"):
        open_regular(path)
    for read in (read_text, read_json, read_yaml):
        with pytest.raises(UserError, match=r"file is damaged \(.*(link|regular)"):
            read(path)
    assert not is_locked(path)


@pytest.mark.parametrize("make", [link, os.mkfifo], ids=["link", "pipe"])
def test_a_lock_is_never_somebody_elses_file(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    make(path)
    with open_lock(path) as file:
        file.write("x")
    assert path.is_file()
    assert not path.is_symlink()
    if make is link:
        assert (tmp_path / "outside.txt").read_text() == "precious"


def test_the_content_of_a_lock_is_kept(tmp_path: Path) -> None:
    """A hard link cannot be told from a file: a lock that truncates would empty the other name's content."""
    (tmp_path / "outside.txt").write_text("precious")
    os.link(tmp_path / "outside.txt", tmp_path / ".lock")
    open_lock(tmp_path / ".lock").close()
    assert (tmp_path / "outside.txt").read_text() == "precious"


def test_another_process_is_seen_to_hold_a_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        path.chmod(0o444)  # as in a folder that one may only read
        assert is_locked(path)
        holder.communicate("\n")
    assert not is_locked(path)


def test_a_planted_temporary_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("precious")
    (tmp_path / f".result.json.{os.getpid()}").symlink_to("outside.txt")
    with atomic_write(tmp_path / "result.json") as file:
        file.write(b"{}")
    assert (tmp_path / "outside.txt").read_text() == "precious"
    assert not (tmp_path / "result.json").is_symlink()


def test_a_folder_with_a_link_in_it_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")
    verify_plain(tmp_path)
    (tmp_path / "a" / "link").symlink_to("b")
    with pytest.raises(UserError, match="a/link is a symbolic link"):
        verify_plain(tmp_path)


NO_OBJECTS = (
    *(b"[1]", b"3", b"", b"{", b"[" * 200_000, b'{"a":' * 300 + b"1" + b"}" * 300, b"\xff{}"),
    *(b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": ' + b"9" * 5000 + b"}"),
    *(b'{"a": "\\udcff", "b": NaN}', b'["\\udcff"]'),
)


@pytest.mark.parametrize("content", NO_OBJECTS)
def test_what_is_no_sound_json_object_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_object(content)


def test_names_of_another_encoding_come_back(tmp_path: Path) -> None:
    assert json_object(b'{"a\\udcc3": "\\udcbc"}') == {"a\udcc3": "\udcbc"}
    assert json_object(b'{"a": 1, "a": 2}') == {"a": 2}


class Shape(BaseModel):
    """Of a small file."""

    name: str
    n: int = 0


def test_a_shape_is_checked_strictly_and_the_field_is_named() -> None:
    verify_shape({"name": "a", "later": 1}, Shape)
    verify_shape({"name": "\udcff"}, Shape)
    for content in (
        {"n": 1},
        {"name": "a", "n": "1"},
        {"name": "a", "n": True},
        {"name": "\udcff", "n": 0.5},
    ):
        with pytest.raises(ValueError, match=r"^(name|n): "):
            verify_shape(content, Shape)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(30))
NO_MAPPINGS = (
    *("[1]", "3", "", "a: [", "[" * 5000, "1: a", "a: &a [*a]", LAUGHS),
    *("a: !!python/name:os.system", "a: " + "9" * 5000),
)


@pytest.mark.parametrize("text", NO_MAPPINGS)
def test_hostile_yaml_is_one_message(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"config.yaml is damaged"):
        read_yaml(tmp_path / "config.yaml")


def test_yaml_with_an_alias_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: &a [1, 2]\nb: *a\n")
    assert read_yaml(tmp_path / "config.yaml") == {"a": [1, 2], "b": [1, 2]}
