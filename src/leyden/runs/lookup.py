"""Which run is meant by a word: a folder, a glob, a fingerprint, a folder's name, or the beginning of one of these.

one("46d0", Path("runs")), named("runs/*/digits-mlp-*", Path("runs"))
"""

from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from leyden.runs.records import Record, read, run_folders
from leyden.utils.errors import UserError, nearest

_TRACES = ("manifest.json", ".lock", "checkpoints")  # beside config.yaml, of a run without a result
_MOST_NAMED = 5


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's; one that holds a config.yaml of something else is not."""
    if (folder / "result.json").exists():
        return True
    return (folder / "config.yaml").exists() and any((folder / name).exists() for name in _TRACES)


def find_run(word: str, root: Path) -> Record:
    """The one run that is meant.

    Raises:
        UserError: none is, or several are.
    """
    folders = find_runs(word, root)
    if len(folders) > 1:
        listed = ", ".join(str(folder) for folder in folders[:_MOST_NAMED])
        more = f" and {len(folders) - _MOST_NAMED} more" if len(folders) > _MOST_NAMED else ""
        raise UserError(f"{word}: {len(folders)} runs are meant, one is needed: {listed}{more}")
    return read(folders[0])


def find_runs(word: str, root: Path) -> list[Path]:
    """The folders of the runs that are meant, at least one. A folder of runs means all in it.

    Raises:
        UserError: there is no such run, or no folder `root` to look in.
    """
    typed = sorted(glob(word)) if has_magic(word) else [word]  # noqa: PTH207 - it may begin with / or be ./x
    given = map(Path, typed)
    found = [run for path in given if path.is_dir() for run in _runs_in(path)]
    if found:
        return found
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; name the one that runs lie in with --runs FOLDER")
    runs = _runs_in(root)
    for matches in (_whole, _glob, _beginning):
        found = [folder for folder in runs if any(matches(name, word) for name in _names(folder, root))]
        if found:
            return found
    near = nearest(word, [folder.name for folder in runs])
    raise UserError(f"{word}: no run of this name or fingerprint under {root}; {near}")


def _runs_in(folder: Path) -> list[Path]:
    return sorted(found for found in run_folders(folder) if is_run(found))


def _names(folder: Path, root: Path) -> tuple[str, ...]:
    """Its name, its fingerprint, its place under root."""
    place = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name
    return folder.name, folder.name.rpartition("-")[2], place


def _whole(name: str, word: str) -> bool:
    return name == word.rstrip("/")


def _glob(name: str, word: str) -> bool:
    return has_magic(word) and fnmatchcase(name, word)


def _beginning(name: str, word: str) -> bool:
    return name.startswith(word)
