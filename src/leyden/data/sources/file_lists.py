"""Lists of files with labels: from folders (`class/...`, `train/class/...`) or from a manifest."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from leyden.data.fingerprint import digest_files
from leyden.data.index import SPLIT_NAMES, Index
from leyden.data.sources.tables import TableFormat, read_table
from leyden.data.targets import ClassReader, Columns, TargetReader, make_index
from leyden.utils.errors import UserError, nearest
from leyden.utils.text import indented_lines


@dataclass(frozen=True)
class Listing:
    """N files below `root` (paths relative to it) with labels and, where known, split (int8) and groups."""

    where: str
    root: Path
    files: Sequence[str]
    labels: Sequence[str] | Columns
    split: np.ndarray | None = None
    groups: Sequence[str] | None = None
    reader: TargetReader = field(default_factory=ClassReader)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many rows."""
        return len(self.files)

    def path(self, row: int) -> str:
        """Where the file of a row lies."""
        return os.path.join(self.root, self.files[row])  # noqa: PTH118  # a hundred thousand of them

    def index(self) -> Index:
        """The verified index; files are called by their path relative to the root."""
        index = make_index(self.where, self.labels, self.files, self.split, self.groups, self.reader)
        return replace(index, notes=(*self.notes, *index.notes))

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


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))


def _below(folder: Path, endings: Sequence[str]) -> list[str]:
    """Files at any depth with one of the endings, relative to `folder`, sorted; hidden ones left out."""
    found = []
    for parent, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        kept = [n for n in names if n.lower().endswith(tuple(endings)) and not n.startswith(".")]
        found += [os.path.relpath(parent, folder) + "/" + n if parent != str(folder) else n for n in kept]
    return sorted(found)


def scan(root: str, endings: Sequence[str], reader: TargetReader | None = None) -> Listing:
    """The files of `root/class/...`, or of `root/train|val|test/class/...` if `train` holds folders only."""
    path = folder_at(root)
    folders = _folders(path)
    split_codes = _split_folders(path, folders, endings)
    files, labels, split = [], [], []
    for parent, code in split_codes:
        for folder in _folders(parent):
            below = _below(folder, endings)
            files += [f"{folder.relative_to(path).as_posix()}/{name}" for name in below]
            labels += [folder.name] * len(below)
            split += [code] * len(below)
            if not below and code <= 0:
                raise UserError(f"{folder}: a class folder without a file ({' '.join(endings)})")
    if not files:
        raise UserError(
            f"data.source.root: {path} holds no files in class folders; "
            f"expected CLASS/FILE or train|val|test/CLASS/FILE with {' '.join(endings)}"
        )
    given = np.array(split, dtype=np.int8) if split_codes[0][1] >= 0 else None
    return Listing(str(path), path, files, labels, given, reader=reader or ClassReader())


def _split_folders(path: Path, folders: list[Path], endings: Sequence[str]) -> list[tuple[Path, int]]:
    """The folders that hold class folders, with the code of their split (-1: no split is given)."""
    names = [folder.name for folder in folders]
    unknown = [name for name in names if name not in SPLIT_NAMES]
    if "train" not in names:
        if names and not unknown:
            raise UserError(f"{path}: has the folders {', '.join(names)}, but no folder train")
        return [(path, -1)]
    train = path / "train"
    if not _folders(train) or any(p.suffix.lower() in endings for p in train.iterdir()):
        return [(path, -1)]  # a class that is called "train"
    if unknown:
        raise UserError(
            f"{path}: {', '.join(unknown)} beside train is no split: {nearest(unknown[0], SPLIT_NAMES)}"
        )
    return [(folder, SPLIT_NAMES[folder.name]) for folder in folders]


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
    files = [_slashes(base, name) for name in table.column(path_column, "data.source.path_column")]
    missing = [
        f"{table.place(row)}: {name}"
        for row, name in enumerate(files)
        if not os.path.isfile(base / name)  # noqa: PTH113
    ]
    if missing:
        raise UserError(f"{manifest}: {len(missing)} file(s) are not in {base}:{indented_lines(missing)}")
    return Listing(
        str(manifest),
        base,
        files,
        table.labels(label_column),
        table.split(split_column),
        None if group_column is None else table.column(group_column, "data.source.group_column"),
        reader or ClassReader(),
        table.notes,
    )


def _slashes(base: Path, name: str) -> str:
    return name if "\\" not in name or (base / name).is_file() else name.replace("\\", "/")


def manifest_digests(listing: Listing, csv: str, cache: Path) -> dict[str, str]:
    """Content digests of the files that a manifest lists, and of the manifest itself."""
    manifest = Path(csv).expanduser()
    digests = listing.digests(cache)
    digests["(manifest)"] = digest_files([manifest], manifest.parent, cache)[manifest.name]
    return digests
