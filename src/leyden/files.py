"""Atomic writing of small files: what stands in a run's folder is never half-written."""

import json
import os
from pathlib import Path
from typing import Any

from leyden.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write beside `path`, sync, rename.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def write_json(path: Path, content: Any) -> None:
    """Write as indented JSON; NaN is an error, it is not JSON."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False, default=str) + "\n")


def cannot_write(path: Path, error: OSError) -> UserError:
    """The message for an operating-system error at `path`."""
    return UserError(
        f"cannot write {path}: {error.strerror or error}; choose another folder with runs=... or cache=..."
    )
