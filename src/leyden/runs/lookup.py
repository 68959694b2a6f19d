"""Find runs by a word: a folder, a glob, a fingerprint, a folder's name, a prefix of one of these, or `last`.

find_run("46d0"), find_runs("runs/*/digits-mlp-*"), find_records(["runs/default", "46d0", "last"])
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from leyden.runs.records import Record, read, run_folders, survey
from leyden.runs.run import Run
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import indented_lines

RUNS = Path("runs")  # where runs are looked up unless another folder is given
LAST = "last"  # the run that was started last
_RUN_FILES = ("manifest.json", ".lock", "checkpoints")  # next to config.yaml, of a run without a result


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's; a config.yaml alone is not sufficient."""
    if (folder / "result.json").exists():
        return True
    return (folder / "config.yaml").exists() and any((folder / name).exists() for name in _RUN_FILES)


def find_run(word: str, root: Path = RUNS) -> Record:
    """Return the record of the one run that a word means.

    Raises:
        UserError: no run matches, or several do, which are listed.
    """
    folders = find_runs(word, root)
    if len(folders) > 1:
        matches = indented_lines(list(map(str, folders)))
        raise UserError(f"{word}: {len(folders)} runs match, expected one:{matches}")
    return read(folders[0])


def find_records(words: Sequence[str | Path], root: Path = RUNS) -> list[Record]:
    """Return the records of all runs that the words mean, each once; without a word, of all runs under `root`.

    Raises:
        UserError: no run matches a word that is not a folder, or there is no folder `root`.
    """
    found = [record for word in words or [_existing(root)] for record in _records(str(word), root)]
    return list({record.folder.absolute(): record for record in found}.values())


def _records(word: str, root: Path) -> list[Record]:
    if not word or not Path(word).is_dir():
        return [read(folder) for folder in find_runs(word, root)]
    return [record for record in survey(Path(word)) if record.result or is_run(record.folder)]


def find_runs(word: str, root: Path = RUNS) -> list[Path]:
    """Return the folders of the runs that a word means, at least one. A folder of runs means all runs in it.

    Raises:
        UserError: no run matches, or the folder `root` does not exist.
    """
    if not word:
        raise UserError("an empty text means no run; give its folder, its fingerprint, or last")
    paths = sorted(glob(word)) if has_magic(word) else [word]  # noqa: PTH207 - it may begin with / or be ./x
    found = [run for path in map(Path, paths) if path.is_dir() for run in _runs_in(path)]
    if found:
        return found
    runs = _runs_in(_existing(root, word))
    for matches in (_matches_exactly, _matches_glob, _matches_prefix):
        found = [folder for folder in runs if any(matches(name, word) for name in _names(folder, root))]
        if found:
            return found
    if word == LAST and runs:
        return [max(runs, key=_age)]
    place = "no run in this folder" if Path(word).is_dir() else "there is no such folder"
    raise UserError(
        f"{word}: {place}, and no run with this name or fingerprint under {root}; {_near(word, runs)}"
    )


def _age(folder: Path) -> tuple[float, int]:
    """Of runs that were started in the same second, the one whose result was written last is the last."""
    return read(folder).started or 0.0, Run(folder).stamp()


def _existing(root: Path, word: str = "") -> Path:
    if root.is_dir():
        return root
    advice = "`leyden train` creates it; or give the folder of the runs with --runs FOLDER"
    raise UserError(f"{f'{word}: ' if word else ''}there is no folder {root}: {advice}")


def _near(word: str, runs: Sequence[Path]) -> str:
    """Return the suggestion for a word that means no run: a path for a path, else a name or a folder here."""
    if "/" in word:
        return nearest(word, runs)
    return nearest(word, [*(run.name for run in runs), *(path for path in Path().glob("*") if path.is_dir())])


def _runs_in(folder: Path) -> list[Path]:
    return sorted(found for found in run_folders(folder) if is_run(found))


def _names(folder: Path, root: Path) -> tuple[str, ...]:
    """Return a run's folder name, its fingerprint and its path relative to `root`."""
    relative = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name
    return folder.name, folder.name.rpartition("-")[2], relative


def _matches_exactly(name: str, word: str) -> bool:
    return name == word.rstrip("/")


def _matches_glob(name: str, word: str) -> bool:
    return has_magic(word) and fnmatchcase(name, word)


def _matches_prefix(name: str, word: str) -> bool:
    return name.startswith(word)
