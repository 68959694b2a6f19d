"""Find runs by a pattern: a folder, a glob, a fingerprint, a folder's name, or a prefix of one of these.

find_run("46d0", Path("runs")), find_runs("runs/*/digits-mlp-*", Path("runs"))
"""

from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from leyden.runs.records import Record, read, run_folders
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import and_more

_RUN_FILES = ("manifest.json", ".lock", "checkpoints")  # next to config.yaml, of a run without a result
_MAX_LISTED = 5


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's; a config.yaml alone is not sufficient."""
    if (folder / "result.json").exists():
        return True
    return (folder / "config.yaml").exists() and any((folder / name).exists() for name in _RUN_FILES)


def find_run(pattern: str, root: Path) -> Record:
    """Return the record of the one run that matches.

    Raises:
        UserError: no run matches, or several do.
    """
    folders = find_runs(pattern, root)
    if len(folders) > 1:
        matches = and_more(folders, _MAX_LISTED)
        raise UserError(f"{pattern}: {len(folders)} runs match, expected one: {matches}")
    return read(folders[0])


def find_runs(pattern: str, root: Path) -> list[Path]:
    """Return the folders of the runs that match, at least one. A folder of runs matches all runs in it.

    Raises:
        UserError: no run matches, or the folder `root` does not exist.
    """
    paths = sorted(glob(pattern)) if has_magic(pattern) else [pattern]  # noqa: PTH207 - it may begin with / or be ./x
    found = [run for path in map(Path, paths) if path.is_dir() for run in _runs_in(path)]
    if found:
        return found
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give the folder of the runs with --runs FOLDER")
    runs = _runs_in(root)
    for matches in (_matches_exactly, _matches_glob, _matches_prefix):
        found = [folder for folder in runs if any(matches(name, pattern) for name in _names(folder, root))]
        if found:
            return found
    near = nearest(pattern, [folder.name for folder in runs])
    raise UserError(f"{pattern}: no run with this name or fingerprint under {root}; {near}")


def _runs_in(folder: Path) -> list[Path]:
    return sorted(found for found in run_folders(folder) if is_run(found))


def _names(folder: Path, root: Path) -> tuple[str, ...]:
    """Return a run's folder name, its fingerprint and its path relative to `root`."""
    relative = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name
    return folder.name, folder.name.rpartition("-")[2], relative


def _matches_exactly(name: str, pattern: str) -> bool:
    return name == pattern.rstrip("/")


def _matches_glob(name: str, pattern: str) -> bool:
    return has_magic(pattern) and fnmatchcase(name, pattern)


def _matches_prefix(name: str, pattern: str) -> bool:
    return name.startswith(pattern)
