"""Official addresses: a set's files are fetched once, checked against their digest, and appear whole."""

import fcntl
import hashlib
import urllib.request
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

from leyden.utils.errors import UserError
from leyden.utils.files import open_lock

_LOCK = ".download.lock"
TIMEOUT = 60  # seconds without a byte


def ensure(
    files: Sequence[Path], download: bool, fetch: Callable[[], object], address: str, root: Path
) -> None:
    """Call `fetch` unless every file is there; UserError names the folder, the files and the address.

    Nothing is written where the files are there: the folder may be read-only. Two processes take turns.
    """
    if all(file.is_file() for file in files):
        return
    reason = "data.source.download is false"
    created = {folder for file in files for folder in file.parents if not folder.exists()}
    if download:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with _turn(root):
                if not all(file.is_file() for file in files):
                    fetch()
        except (OSError, RuntimeError, URLError, EOFError) as error:
            reason = f"the download failed: {str(error).strip().splitlines()[-1] if str(error) else error!r}"
    missing = [str(file.relative_to(root)) for file in files if not file.is_file()]
    if missing:
        _remove_empty(created, root)
        raise UserError(
            f"{root} lacks {', '.join(missing)}; {reason}. "
            f"Put the files there (official address: {address}) or set data_root to the folder that has them"
        )


def _remove_empty(created: Collection[Path], root: Path) -> None:
    """Remove what a failed download leaves of the folders that it created: nothing, where they hold no file."""
    if root in created:
        (root / _LOCK).unlink(missing_ok=True)
    for folder in sorted(created, reverse=True):
        with suppress(OSError):  # it holds a file, or was never made
            folder.rmdir()


@contextmanager
def _turn(root: Path) -> Iterator[None]:
    """Wait for other processes that download into `root`."""
    with open_lock(root / _LOCK) as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def fetch_file(url: str, target: Path, digest: str = "", kind: str = "sha256") -> None:
    """Download `url` to `target`; OSError where the content has not the `digest` given."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    hasher = hashlib.new(kind)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, temporary.open("wb") as file:
            while block := answer.read(1 << 20):
                hasher.update(block)
                file.write(block)
        verify_digest(hasher.hexdigest(), digest, url)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def verify_digest(found: str, expected: str, what: str) -> None:
    """Raise OSError where a digest is expected and another was found."""
    if expected and found != expected:
        raise OSError(f"{what} has digest {found}, expected {expected}: it is damaged or was replaced")
