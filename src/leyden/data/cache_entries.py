"""What the cache of decoded data holds, for `leyden cache`: a data set a folder, listed and removed.

for entry in entries(Path("~/.cache/leyden").expanduser()): print(entry.source, entry.bytes)
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from leyden.utils.errors import UserError, nearest
from leyden.utils.files import read_json

# A fingerprint, of data that stay files with its ending; or the ids that a tokenizer made of a data set's texts.
_NAME = re.compile(r"[0-9a-f]{32}(-files)?|tokens-[0-9a-f]{24}")


@dataclass(frozen=True)
class CacheEntry:
    """A prepared data set.

    Attributes:
        folder: its folder.
        source: the name of the source's class, or "tokens"; "" if an earlier version prepared it, or it is damaged.
        inputs: how many it has; None if that is not known.
        bytes: of all its files.
        changed: when it was prepared; seconds since 1970.
    """

    folder: Path
    source: str
    inputs: int | None
    bytes: int
    changed: float

    @property
    def name(self) -> str:
        """The name of its folder: the fingerprint of its data."""
        return self.folder.name


def entries(cache: Path) -> list[CacheEntry]:
    """Return what the cache holds, the largest first; [] if there is no such folder. Links are not followed."""
    if not cache.is_dir():
        return []
    folders = (Path(found.path) for found in os.scandir(cache) if found.is_dir(follow_symlinks=False))
    found = [_entry(folder) for folder in folders if _NAME.fullmatch(folder.name)]
    return sorted(found, key=lambda entry: (-entry.bytes, entry.name))


def _entry(folder: Path) -> CacheEntry:
    try:
        content = read_json(folder / "table.json")
        source, inputs = str(content["source"]), int(content["inputs"])
    except (UserError, ValueError, KeyError, TypeError):
        source, inputs = "tokens" if folder.name.startswith("tokens") else "", None
    sizes = [(Path(top) / name).lstat().st_size for top, _, names in os.walk(folder) for name in names]
    return CacheEntry(folder, source, inputs, sum(sizes), folder.lstat().st_mtime)


def select(words: Sequence[str], cache: Path) -> list[CacheEntry]:
    """Return the entries that the words mean: fingerprints, their beginnings, globs or names of sources.

    Raises:
        UserError: a word means none.
    """
    known = entries(cache)
    found: dict[str, CacheEntry] = {}
    for word in words:
        meant = [entry for entry in known if word and _is_meant(entry, word)]
        if not meant:
            names = [*(entry.source for entry in known if entry.source), *(entry.name for entry in known)]
            raise UserError(
                f"{word!r}: {cache} holds no data set of this fingerprint or source; {nearest(word, names)}"
            )
        found |= {entry.name: entry for entry in meant}
    return list(found.values())


def _is_meant(entry: CacheEntry, word: str) -> bool:
    return (
        entry.name.startswith(word) or fnmatchcase(entry.name, word) or entry.source.lower() == word.lower()
    )


def remove(entry: CacheEntry) -> None:
    """Remove an entry: renamed first, so that a kill leaves no half of it; runs that read it keep their open files."""
    hidden = entry.folder.with_name(f".tmp-{entry.name}")
    shutil.rmtree(hidden, ignore_errors=True)
    entry.folder.rename(hidden)
    shutil.rmtree(hidden)
