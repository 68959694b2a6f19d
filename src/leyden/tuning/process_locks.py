"""Who is at work on a study: a lock for each process that is, as long as it lives, and one for who asks now.

POSIX record locks (lockf) go with their process: what a killed one has held is free at once.
"""

import fcntl
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leyden.utils.files import is_locked


class ProcessLocks:
    """The processes at work in a study's folder; `name` is this one's.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "owners"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._turn = folder / ".lock"
        self._guard = threading.RLock()
        self._inside = False
        self.name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._life = _hold(self._folder / self.name)

    def close(self) -> None:
        """This process owns nothing any more."""
        (self._folder / self.name).unlink(missing_ok=True)
        self._life.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One thread of one process at a time; the same thread again goes in."""
        with self._guard:
            if self._inside:
                yield
                return
            with _hold(self._turn):
                self._inside = True
                try:
                    yield
                finally:
                    self._inside = False

    def alive(self, name: str) -> bool:
        """Whether the process of that name lives. To be asked in `alone`."""
        path = self._folder / name
        if name == self.name:
            return True
        if not name:
            return False
        if is_locked(path):
            return True
        path.unlink(missing_ok=True)
        return False


def _hold(path: Path) -> IO[str]:
    file = path.open("w")
    fcntl.lockf(file, fcntl.LOCK_EX)
    return file
