"""Small files of a run's folder: atomic writes, and reads that report a damaged file by name."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from yaml import YAMLError

from leyden.utils.errors import UserError, first_line


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path`; on success sync it and rename it to `path`.

    After an error `path` is unchanged.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
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
    """Whether another process holds the POSIX record lock (lockf) of a file; False if the file does not exist."""
    if not path.exists():
        return False
    with path.open("r+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_object(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Read a small file of a run's folder that must contain a mapping: `read_object(path, json.loads)`.

    Raises:
        UserError: the file does not exist, cannot be parsed, or contains something other than a mapping.
    """
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError) as error:
        raise damaged(path, first_line(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, f"expected a mapping, found {type(content).__name__}")
    return content


def damaged(path: Path, reason: str) -> UserError:
    """Return the error for a file of a run's folder that is not in the state it was written in."""
    return UserError(f"{path} is damaged ({reason}); move the run's folder away and train again")


def cannot_write(path: Path, error: OSError) -> UserError:
    """Return the error for an operating-system error while writing `path`."""
    return UserError(
        f"cannot write {path}: {error.strerror or error}; choose another folder with runs=... or cache=..."
    )
