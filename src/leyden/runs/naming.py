"""The name of a run's folder: `<name>-<what was chosen>-<fingerprint>`: digits-cnn-seed1-focal-lr0.01-9a3f07c2d1.

The fingerprint identifies the run; the rest is for people. A run that was begun with other words for the same
configuration, or by a version that left out what was chosen, is found by its fingerprint.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from leyden.runs.run import COSMETIC

# In the name anyway, of the machine, or of nobody's interest.
_LEFT_OUT = (*COSMETIC, "experiment", "data", "model", "task", "seed", "trainer", "logger", "threads")
_SWITCHES = ("true", "false", "null", "none", "auto")  # values that say nothing without their key
_MOST_OF_VALUE, _MOST = 16, 40  # characters: of a value, of all that was chosen


def folder_name(name: str, words: Sequence[str], fingerprint: str, parent: Path) -> str:
    """Name of the folder in `parent` of a run: that of the one with its fingerprint, or a new one.

    Args:
        name: the key `name`, with which folders begin.
        words: of the command: overrides and flags.
        fingerprint: of the configuration.
        parent: the folder of the experiment, which need not exist.
    """
    new = "-".join([name, *chosen(words), fingerprint])
    there = _folders(parent, parent.stat().st_mtime_ns).get(fingerprint, ()) if parent.is_dir() else ()
    same = [folder for folder in there if folder.startswith(f"{name}-")]
    return new if new in same or not same else same[0]


@functools.lru_cache(4)
def _folders(parent: Path, stamp: int) -> dict[str, list[str]]:
    """Folders by fingerprint; a sweep of thousands of jobs lists them once, until one is added (the time stamp)."""
    found: dict[str, list[str]] = {}
    for folder in sorted(path.name for path in parent.iterdir()):
        found.setdefault(folder.rpartition("-")[2], []).append(folder)
    return found


def chosen(words: Sequence[str]) -> list[str]:
    """What the words choose beyond data, model and seed, in short, by key; where there is much, how much more.

    >>> chosen(["data=digits", "optimizer.lr=0.01", "loss=focal", "model.net.widths=[64,32]"])
    ['focal', 'widths64_32', 'lr0.01']
    """
    pairs = (word.lstrip("+").partition("=") for word in words if not word.startswith(("-", "~", "hydra.")))
    given = {key: value for key, _, value in pairs if value and key not in _LEFT_OUT}
    parts = [part for key in sorted(given) if (part := _short(key, given[key]))]
    kept: list[str] = []
    while parts and len("-".join([*kept, parts[0]])) <= _MOST:
        kept.append(parts.pop(0))
    return [*kept, *([f"{len(parts)}more"] if parts else [])]


def _short(key: str, value: str) -> str:
    """`lr0.01` for optimizer.lr=0.01, `focal` for loss=focal, `root_pictures` for data.source.root=/my/pictures."""
    if key == "continue":
        return "continued"
    last = key.rpartition(".")[2]
    text = value.strip("'\"[]")
    text = Path(text).stem if "/" in text else text
    text = re.sub(r"[^\w.]+", "_", text)[:_MOST_OF_VALUE].strip("_.")
    if "." not in key and not text[:1].isdigit() and text not in _SWITCHES:
        return text
    return f"{last}{'' if text[:1].isdigit() else '_'}{text}"
