"""Locks of the processes of a study: one per live process, and one for exclusive access to the study.

POSIX record locks (lockf) are released with their process, so a killed process leaves no lock.
"""

import fcntl
import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leyden.utils.files import is_locked, open_lock

_NAME = re.compile(r"\d+-[0-9a-f]{8}")


class ProcessLocks:
    """The live processes of the study in `folder`; `name` identifies this one.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "owners"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._study_lock = folder / ".lock"
        self._thread_lock = threading.RLock()
        self._is_inside = False
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._own_lock = _lock(self._folder / self.name)

    def close(self) -> None:
        """Release this process's lock and remove its file."""
        (self._folder / self.name).unlink(missing_ok=True)
        self._own_lock.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Exclusive access: one thread of one process at a time; re-entrant in the same thread."""
        with self._thread_lock:
            if self._is_inside:
                yield
                return
            with _lock(self._study_lock):
                self._is_inside = True
                try:
                    yield
                finally:
                    self._is_inside = False

    def alive(self, name: str) -> bool:
        """Whether the process `name` is alive; call it within `alone`. What is no name of a process, as none is."""
        if name == self.name:
            return True
        if not (
            isinstance(name, str) and _NAME.fullmatch(name)
        ):  # it stands in the study, whoever wrote that
            return False
        path = self._folder / name
        if is_locked(path):
            return True
        path.unlink(missing_ok=True)
        return False


def _lock(path: Path) -> IO[str]:
    file = open_lock(path)
    fcntl.lockf(file, fcntl.LOCK_EX)
    return file
