"""Files of a run's folder, which a stranger may have made: one way to open, read, lock and write them.

Only regular files are opened, and no link is followed: a link could name any file of this user, and a named pipe
would wait for ever. JSON is read by `read_json`, YAML by `read_yaml`: bounded in size and depth, an object of
text keys, without NaN; what is wrong with a file is one UserError that names it.
"""

import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from leyden.utils.errors import UserError, first_line

MOST_BYTES = 1 << 28  # of a file that is read whole; a result of 10,000 classes takes 5 MB
_MOST_YAML = 1 << 22  # bytes: PyYAML reads 1 MB in some seconds
_MOST_NODES = 200_000  # of a YAML document, with every alias counted as what it stands for
# Half of a surrogate pair: how Python holds a byte of a file's name that is not of the system's encoding. The parser of
# pydantic refuses it, json does not.
_SURROGATE = re.compile(rb"\\u[dD][89abcdefABCDEF][0-9a-fA-F]{2}")
_QUESTION_MARK = rb"\\u003f"
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_regular(path: Path | str) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        OSError: it does not exist or cannot be read, or it is a link, a folder, a pipe or a device.
    """
    return os.fdopen(_regular(path, os.O_RDONLY), "rb")


def _regular(path: Path | str, flags: int) -> int:
    """Return the descriptor of a regular file. O_NONBLOCK: opening a pipe returns at once."""
    try:
        descriptor = os.open(path, flags | _FLAGS, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def open_lock(path: Path) -> IO[str]:
    """Open a lock file for `lockf`, made if need be; its content is never touched.

    What is there and is no regular file is removed, since no lock of Leyden's is a link or a pipe.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.unlink()
    return os.fdopen(_regular(path, os.O_RDWR | os.O_CREAT), "r+")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of a run's folder.

    Raises:
        UserError: there is none, it is a link or no regular file, or it has more than `most` bytes.
    """
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    if len(content) > most:
        raise damaged(path, f"it has more than {most:,} bytes")
    return content


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a regular UTF-8 file; raises what `read_bytes` raises, also where it is not UTF-8."""
    try:
        return read_bytes(path, most).decode()
    except ValueError as error:
        raise damaged(path, first_line(error)) from error


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path`; on success sync it and rename it to `path`.

    After an error `path` is unchanged.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)  # of a dead process with this number, or a link
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; raises what `atomic_write` raises."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(
    path: Path, content: Any, indent: int | None = 1, default: Callable[[Any], Any] | None = str
) -> None:
    """Write JSON atomically; NaN and infinity raise ValueError, since JSON has neither.

    Args:
        path: the file, in a folder that exists.
        content: what to write.
        indent: spaces per level; None writes one line, which is ten times as fast for large content.
        default: converts values that JSON cannot represent; None raises TypeError for them.
    """
    write_text(path, json.dumps(content, indent=indent, allow_nan=False, default=default) + "\n")


def is_locked(path: Path) -> bool:
    """Whether another process holds the POSIX record lock (lockf) of a file; False if there is no such regular file."""
    try:
        file = open_regular(path)
    except OSError:
        return False
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_json(path: Path, shape: type[BaseModel] | None = None) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: of the file.
        shape: what its fields must be; None: whoever reads it checks.

    Raises:
        UserError: as `read_bytes`, or what `json_object` or `verify_shape` refuse.
    """
    content = read_bytes(path)
    try:
        found = json_object(content)
        if shape is not None:
            verify_shape(found, shape)
    except ValueError as error:
        raise damaged(path, first_line(error)) from error
    return found


def json_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8. Of a repeated key the last counts.

    Raises:
        ValueError: it is no JSON object, is nested more than 200 deep, or holds NaN.
    """
    try:
        return _mapping(from_json(content, allow_inf_nan=False, cache_strings="all"))
    except ValueError:
        if not _SURROGATE.search(content):
            raise
        from_json(_SURROGATE.sub(_QUESTION_MARK, content), allow_inf_nan=False)
        return _mapping(json.loads(content))


def verify_shape(
    content: Mapping[str, Any], shape: type[BaseModel], extra: Literal["ignore"] | None = "ignore"
) -> None:
    """Check the types of what a JSON file holds.

    Args:
        content: of the file.
        shape: the types of its fields.
        extra: pass over fields that the shape does not have, as of a later version; None: as the shape says.

    Raises:
        ValueError: naming the first field that is wrong.
    """
    try:
        shape.model_validate(content, strict=True, extra=extra)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] != "string_unicode":
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        text = _SURROGATE.sub(_QUESTION_MARK, json.dumps(content).encode())
        verify_shape(json.loads(text), shape, extra)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with text keys.

    Raises:
        UserError: as `read_text`, or it is no such mapping, too deep, or too large once its aliases are written out.
    """
    text = read_text(path, _MOST_YAML)
    try:
        content = yaml.safe_load(text)
        _verify_size(content)
        return _mapping(content)
    except (ValueError, RecursionError, OverflowError, yaml.YAMLError) as error:
        raise damaged(path, first_line(error)) from error


def _verify_size(content: Any) -> None:
    """Refuse a document of which a few lines stand for millions of values ("billion laughs"), or that holds itself."""
    waiting, seen = [content], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > _MOST_NODES:
            raise ValueError(f"it stands for more than {_MOST_NODES:,} values")
        if isinstance(node, dict):
            waiting += node.values()
            if not all(isinstance(key, str) for key in node):
                raise ValueError("it has a key that is no text")
        elif isinstance(node, list):
            waiting += node


def _mapping(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping, found {type(content).__name__}")
    return content


def verify_plain(folder: Path) -> None:
    """Refuse a folder in which a link, a pipe or a device lies: one would read or write elsewhere, or wait for ever.

    Raises:
        UserError: naming it.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                raise UserError(
                    f"{path} is {kind}, which is not opened here: replace it by what it stands for"
                )


def damaged(path: Path, reason: str) -> UserError:
    """Return the error for a file of a run's folder that is not in the state it was written in."""
    return UserError(f"{path} is damaged ({reason}); move the run's folder away and train again")


def cannot_write(path: Path, error: OSError) -> UserError:
    """Return the error for an operating-system error while writing `path`."""
    return UserError(
        f"cannot write {path}: {error.strerror or error}; choose another folder with runs=... or cache=..."
    )
