"""Every file below a folder, through links; and what was passed over, counted."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from leyden.utils.text import and_more, plural

_SHOWN = 6  # endings


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or what macOS adds to archives."""
    return name.startswith((".", "__MACOSX"))


@dataclass
class PassedOver:
    """What a scan of folders does not read, by its reason.

    Args:
        endings: files that are no inputs, by ending.
        hidden: files and folders with a name that begins with a dot.
        outside: files beside the class folders.
        loops: links to folders that are read already.
        broken: links to nothing, and what is no regular file.
    """

    endings: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    outside: int = 0
    loops: int = 0
    broken: int = 0

    def line(self) -> str:
        """All of it in words; nothing where there is nothing."""
        files = self.endings.total()
        listed = [f"{ending or 'without ending'} {n:,}" for ending, n in self.endings.most_common()]
        counts = {
            f"of another kind ({and_more(listed, _SHOWN)})": files,
            "hidden": self.hidden,
            "outside of class folders": self.outside,
        }
        found = [f"{n:,} {what}" for what, n in counts.items() if n]
        found += [f"{plural(self.loops, 'link')} to folders that are read already"] if self.loops else []
        found += [f"{plural(self.broken, 'link')} to nothing or no regular files"] if self.broken else []
        return ", ".join(found)

    def after(self) -> str:
        """The same, to end a message with."""
        return f"; passed over: {self.line()}" if self.line() else ""


def files_below(folder: Path, root: Path, passed: PassedOver) -> list[str]:
    """Regular files at any depth, sorted, hidden ones left out; each folder once, however many links lead to it.

    Args:
        folder: to begin with.
        root: folders that hold it are not read, so that no link leads upwards out of it.
        passed: counts what is left out.
    """
    start, top = os.path.realpath(folder), Path(os.path.realpath(root))
    seen = {start, str(top), *map(str, top.parents), *map(str, Path(start).parents)}
    found: list[str] = []
    waiting = [(str(folder), start)]
    while waiting:
        place, real = waiting.pop()
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if is_hidden(entry.name):
                    passed.hidden += 1
                elif entry.is_file():
                    found.append(entry.path)
                elif entry.is_dir():
                    inner = os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                    passed.loops += inner in seen
                    waiting += [] if inner in seen else [(entry.path, inner)]
                    seen.add(inner)
                else:
                    passed.broken += 1
    return sorted(found)
