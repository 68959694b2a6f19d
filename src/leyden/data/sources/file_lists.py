"""Lists of files with labels: from folders (`class/...`, `train/class/...`) or from a manifest."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from leyden.data.fingerprint import digest_files
from leyden.data.index import SPLIT_NAMES, Index
from leyden.data.sources.folder_walk import PassedOver, files_below, is_hidden
from leyden.data.sources.tables import TableFormat, TextTable, read_table
from leyden.data.targets import ClassReader, Columns, TargetReader, make_index
from leyden.utils.errors import UserError, nearest
from leyden.utils.parallel import parallel_map
from leyden.utils.text import decoded, indented_lines, plural


@dataclass(frozen=True)
class Listing:
    """N files below `root` (paths relative to it) with labels and, where known, split (int8) and groups.

    obstacle: why nothing can be trained on them. passed_over: what else lies there, in words. metadata: cells of
    further columns, by name.
    """

    where: str
    root: Path
    files: Sequence[str]
    labels: Sequence[str] | Columns
    split: np.ndarray | None = None
    groups: Sequence[str] | None = None
    reader: TargetReader = field(default_factory=ClassReader)
    notes: tuple[str, ...] = ()
    obstacle: str = ""
    passed_over: str = ""
    metadata: Columns = field(default_factory=dict)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.files)

    def path(self, row: int) -> str:
        """Where the file of a row lies."""
        return os.path.join(self.root, self.files[row])  # noqa: PTH118  # a hundred thousand of them

    def index(self) -> Index:
        """The verified index; files are called by their path relative to the root."""
        columns = (self.labels, self.files, self.split, self.groups, self.reader, self.metadata)
        index = make_index(self.where, *columns)
        return replace(index, notes=(*self.notes, *index.notes), obstacle=self.obstacle)

    def digests(self, cache: Path) -> dict[str, str]:
        """Content digest of each file by its relative path."""
        return digest_files(map(self.path, range(len(self))), self.root, cache)


def folder_at(root: str | Path, field: str = "data.source.root") -> Path:
    """`root` as a folder that exists; the error names the closest sibling."""
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    raise UserError(f"{field}: there is no folder {path}{_closest(path, folders=True)}")


def file_at(path: str | Path, field: str) -> Path:
    """`path` as a file that exists; the error names the closest sibling."""
    found = Path(path).expanduser()
    if found.is_file():
        return found
    raise UserError(f"{field}: there is no file {found}{_closest(found, folders=False)}")


def _closest(path: Path, folders: bool) -> str:
    parent = path.absolute().parent
    if not parent.is_dir():
        return f" (nor {parent})"
    names = [p.name for p in parent.iterdir() if p.is_dir() == folders and not p.name.startswith(".")]
    return f": {nearest(path.name, names)}"


def scan(
    root: str,
    endings: Sequence[str],
    reader: TargetReader | None = None,
    reads: Callable[[str], bool] = lambda _: False,
) -> Listing:
    """The files of `root/class/...`, or of `root/train|val|test/class/...`, at any depth; links are followed.

    Args:
        root: the folder.
        endings: of files that are taken without a look into them, so that damaged ones are found.
        reader: makes targets of the folders' names.
        reads: whether a file with another ending is one of those.

    Raises:
        UserError: no folder, or no such file in it.
    """
    path = folder_at(root)
    passed = PassedOver()
    parents, obstacle = _split_folders(path, endings, passed)
    files, labels, split = [], [], []
    for parent, code in parents:
        for folder in _folders(parent, passed):
            below = _chosen(files_below(folder, path, passed), endings, reads, passed)
            files += [os.path.relpath(file, path).replace(os.sep, "/") for file in below]
            labels += [decoded(folder.name)] * len(below)
            split += [code] * len(below)
            if not below and code <= 0 and not obstacle:
                obstacle = f"{folder}: a class folder without a file ({' '.join(endings)}){passed.after()}"
    if not files:
        raise UserError(
            f"data.source.root: {path} holds no files in class folders; "
            f"expected CLASS/FILE or train|val|test/CLASS/FILE with {' '.join(endings)}{passed.after()}"
        )
    given = np.array(split, dtype=np.int8) if parents[0][1] >= 0 else None
    found = Listing(str(path), path, files, labels, given, reader=reader or ClassReader(), obstacle=obstacle)
    return replace(found, passed_over=passed.line())


def _folders(path: Path, passed: PassedOver) -> list[Path]:
    """The folders in a folder that are not hidden; files beside them are counted."""
    found = []
    for inner in sorted(path.iterdir()):
        if is_hidden(inner.name):
            passed.hidden += 1
        elif inner.is_dir():
            found.append(inner)
        else:
            passed.outside += 1
    return found


def _chosen(
    found: Sequence[str], endings: Sequence[str], reads: Callable[[str], bool], passed: PassedOver
) -> list[str]:
    """The files with one of the endings, or that can be read all the same; the others are counted."""
    known = tuple(endings)
    others = [file for file in found if not file.lower().endswith(known)]
    fits = dict(zip(others, parallel_map(reads, others, "looking at other files"), strict=True))
    passed.endings.update(os.path.splitext(file)[1].lower() for file in others if not fits[file])  # noqa: PTH122
    return [file for file in found if fits.get(file, True)]


def _split_folders(
    path: Path, endings: Sequence[str], passed: PassedOver
) -> tuple[list[tuple[Path, int]], str]:
    """The folders that hold class folders, with the code of their split (-1: none is given), and what they lack."""
    folders = [inner for inner in sorted(path.iterdir()) if inner.is_dir() and not is_hidden(inner.name)]
    names = [folder.name for folder in folders]
    unknown = [name for name in names if name not in SPLIT_NAMES]
    first = path / "train" if "train" in names else path / next(iter(names), "")
    holds_files = not names or any(p.suffix.lower() in endings for p in first.iterdir())
    if holds_files or not any(p.is_dir() for p in first.iterdir()) or ("train" not in names and unknown):
        return [(path, -1)], ""  # a class may be called "train"
    if unknown:
        raise UserError(
            f"{path}: {', '.join(unknown)} beside train is no split: {nearest(unknown[0], SPLIT_NAMES)}"
        )
    _folders(path, passed)
    lacks = "" if "train" in names else f"{path}: has the folders {', '.join(names)}, but no folder train"
    return [(folder, SPLIT_NAMES[folder.name]) for folder in folders], lacks


def read_manifest(
    csv: str,
    root: str | None,
    path_column: str,
    label_column: str | Sequence[str],
    split_column: str | None,
    group_column: str | None,
    reader: TargetReader | None = None,
    written: TableFormat | None = None,
) -> Listing:
    """The files that a CSV, TSV or JSONL file lists, relative to `root` (default: its own folder).

    Backslashes in paths are taken as Windows writes them where no file has them in its name.
    """
    manifest = file_at(csv, "data.source.csv")
    base = folder_at(root) if root is not None else manifest.parent
    table = read_table(manifest, written)
    files = listed_files(table, base, path_column, "data.source.path_column")
    labels = [label_column] if isinstance(label_column, str) else label_column
    return Listing(
        str(manifest),
        base,
        files,
        table.labels(label_column),
        table.split(split_column),
        None if group_column is None else table.column(group_column, "data.source.group_column"),
        reader or ClassReader(),
        table.notes,
        metadata=table.others([path_column, *labels, split_column, group_column]),
    )


def listed_files(table: TextTable, base: Path, column: str, field: str) -> list[str]:
    """The files of a table's column, relative to `base`; UserError lists those that are not there."""
    files = [_slashes(base, name) for name in table.column(column, field)]
    missing = [
        f"{table.place(row)}: {name}"
        for row, name in enumerate(files)
        if not os.path.isfile(base / name)  # noqa: PTH113
    ]
    if missing:
        raise UserError(
            f"{table.path}: {plural(len(missing), 'file')} not in {base}:{indented_lines(missing)}"
        )
    return files


def _slashes(base: Path, name: str) -> str:
    return name if "\\" not in name or (base / name).is_file() else name.replace("\\", "/")


def manifest_digests(listing: Listing, csv: str, cache: Path) -> dict[str, str]:
    """Content digests of the files that a manifest lists, and of the manifest itself."""
    manifest = Path(csv).expanduser()
    digests = listing.digests(cache)
    digests["(manifest)"] = digest_files([manifest], manifest.parent, cache)[manifest.name]
    return digests
