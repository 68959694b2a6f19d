"""Content digests of files and the fingerprint of a data set.

A file is read once: its digest is kept under (absolute path, size, mtime, ctime, inode), so a second start asks
only for each file's status. A program can set the size and mtime that it likes (cp -p, rsync -t), but not the time
of the change itself. Digests are keyed by path relative to the root: the same data elsewhere has the same fingerprint.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from leyden.utils import code_digest as code
from leyden.utils.errors import UserError
from leyden.utils.files import json_object, open_regular, write_json
from leyden.utils.parallel import parallel_map
from leyden.utils.text import indented_lines, plural

# Raise when the values decoded from the same bytes and arguments change, or which of them are the same: old columns are
# then redone, and runs on them are other runs.
DECODING = 2
SETTLED = 2.0  # seconds; a file changed later than this may change again within its clock's resolution
_ENTRY = 5  # what is remembered of a file: the four numbers of its mark, and the digest


def fingerprint(source: object, arguments: Mapping[str, Any], digests: Mapping[str, str]) -> str:
    """32 hex digits over the source's type, the arguments that change decoded values, and content digests.

    The code of a source that is not Leyden's counts, too: edited, it may decode other values.
    """
    kind = f"{type(source).__module__}.{type(source).__qualname__}{code.digest(type(source))}"
    content = json.dumps([DECODING, kind, dict(arguments), dict(digests)], sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def digest_files(paths: Iterable[Path | str], root: Path, cache: Path) -> dict[str, str]:
    """blake2b digest of each file by its path relative to `root`; UserError lists files that are missing."""
    prefix = os.path.join(root, "")  # noqa: PTH118
    files = {_relative(file, prefix): file for file in (os.fspath(path) for path in paths)}
    marks = {name: _mark(file) for name, file in files.items()}
    missing = [name for name, mark in marks.items() if not mark]
    if missing:
        raise UserError(
            f"{plural(len(missing), 'file')} missing in {root}, or no regular files:{indented_lines(missing)}"
        )
    memory = cache / "digests" / f"{_digest(os.fsencode(root.resolve()))}.json"
    known, begun = _remembered(memory), time.time()
    fresh = [name for name, mark in marks.items() if known.get(name, [None])[:-1] != mark]
    found = {name: known[name][-1] for name in marks.keys() - set(fresh)}
    found.update(
        zip(fresh, parallel_map(_digest_file, [files[name] for name in fresh], "reading"), strict=True)
    )
    settled = [name for name in fresh if max(marks[name][1:3]) < (begun - SETTLED) * 1e9]
    if settled:
        memory.parent.mkdir(parents=True, exist_ok=True)
        content = {**known, **{name: [*marks[name], found[name]] for name in settled}}
        write_json(memory, content, indent=None, default=None)
    return found


def _relative(file: str, prefix: str) -> str:
    """Slicing where it is enough: 100,000 calls of relpath take a second."""
    name = file[len(prefix) :] if file.startswith(prefix) else os.path.relpath(file, prefix)
    return Path(name).as_posix() if os.sep != "/" else name


def _mark(file: str) -> list[int]:
    """[size, mtime in ns, ctime in ns, inode]; empty where there is no such file, or a pipe, which would never end."""
    try:
        status = os.stat(file)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return []
    if not stat.S_ISREG(status.st_mode):
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _remembered(memory: Path) -> dict[str, list[Any]]:
    """The stored digests; none when there are none yet or the file is damaged, which only costs time."""
    try:
        with open_regular(memory) as file:
            known = json_object(file.read())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: entry for name, entry in known.items() if isinstance(entry, list) and len(entry) == _ENTRY}


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _digest_file(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
