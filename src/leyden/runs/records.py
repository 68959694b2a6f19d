"""Run folders as records, for `leyden runs`, `leyden report` and a sweep's table. One JSON file per run, no torch.

    records = find(Path("runs"))
    records[0].state, records[0].keys["optimizer.lr"], records[0].metric("test", "accuracy")

Learning curves (metrics.csv) and the manifest are read on demand. `survey` is a faster `find` for thousands of runs.
"""

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from leyden.runs.run import Run, parse_result
from leyden.utils.errors import UserError, first_line, nearest
from leyden.utils.files import MOST_BYTES, damaged, json_object, open_regular, read_bytes, read_text
from leyden.utils.runtime import gc_paused

_BELOW_A_LINK = 2  # levels: <experiment>/<run> of a linked folder of runs; a link may lead to a whole disk
_NO_FURTHER = -1
_PER_CLASS, _PER_CLASS_END = b'\n   "per_class": [\n', b"\n   ],"


@dataclass(frozen=True)
class Record:
    """One run: its folder and the content of result.json ({} if the file is damaged: see `problem`)."""

    folder: Path
    result: Mapping[str, Any]
    problem: str = ""

    @property
    def experiment(self) -> str:
        """The name of its experiment."""
        return str(self.config.get("experiment", self.folder.parent.name))

    @property
    def name(self) -> str:
        """The name of its folder: `<name>-<chosen>-<fingerprint>`."""
        return self.folder.name

    @property
    def config(self) -> Mapping[str, Any]:
        """The composed configuration."""
        found: Mapping[str, Any] = self.result.get("config") or {}
        return found

    @cached_property
    def keys(self) -> dict[str, Any]:
        """The configuration with dotted keys: {"optimizer.lr": 0.1, "init.freeze": [...]}."""
        return dict(flat(self.config))

    @cached_property
    def state(self) -> str:
        """One of new, running, interrupted, failed, pruned, complete, damaged."""
        if self.problem:
            return "damaged"
        status = str(self.result.get("status", "new"))
        if status == "running":
            return "running" if Run(self.folder).is_locked() else "interrupted"
        return status

    @property
    def started(self) -> float | None:
        """When it was started, of a damaged run when its folder was changed; seconds since 1970."""
        try:
            return datetime.fromisoformat(str(self.result.get("started"))).timestamp()
        except (ValueError, OverflowError, OSError):  # also a date that the machine's clock cannot show
            return self.folder.stat().st_mtime if self.folder.exists() else None

    @property
    def best(self) -> Mapping[str, Any]:
        """The best checkpoint: monitor, value, higher_is_better, epoch, step; {} if there is none."""
        return self.result.get("best") or {}

    @property
    def seconds(self) -> float | None:
        """Seconds of training; None if not recorded."""
        return (self.result.get("cost") or {}).get("seconds")

    def metric(self, split: str, name: str) -> float | None:
        """Return a metric of a split, or a scalar that a user's own module logged; None if there is neither."""
        found = (self.result.get("metrics") or {}).get(split) or {}
        values = found.get("values") or {}
        if name == "loss" and found.get("loss") is not None:
            return float(found["loss"])
        if name == "loss" and self.result.get("schema") == 1:
            name = "log_loss"  # these runs stored no other loss
        value = values.get(name, {}).get("value")
        return value if value is not None else (found.get("scalars") or {}).get(name)

    def curves(self) -> list[dict[str, float]]:
        """Read metrics.csv: one dictionary per epoch, without empty cells and infinities; [] if there is no file.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / "metrics.csv"
        if not path.exists():
            return []
        try:
            rows = [row.items() for row in csv.DictReader(io.StringIO(read_text(path), newline=""))]
            values = [{key: float(value) for key, value in row if key and value} for row in rows]
        except (
            ValueError,
            TypeError,
            csv.Error,
        ) as error:  # TypeError: a row with more cells than the header
            raise damaged(path, first_line(error)) from error
        return [{key: value for key, value in row.items() if math.isfinite(value)} for row in values]

    def manifest(self) -> dict[str, Any]:
        """Read manifest.json; empty if there is none."""
        return Run(self.folder).manifest()

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of samples of train, val and test, from spec.json; {} where they are not recorded."""
        try:
            found = json_object(read_bytes(self.folder / "spec.json"))["sizes"]
            return {name: int(n) for name, n in zip(("train", "val", "test"), found, strict=True)}
        except (UserError, OSError, KeyError, TypeError, ValueError):
            return {}

    def rows(self, split: str) -> tuple[int, int] | None:
        """Read size and checksum of the row numbers of val or test in `predictions`; None where they are not stored."""
        try:
            with open_regular(f"{self.folder}/predictions/{split}.npz") as file, ZipFile(file) as stored:
                rows = stored.getinfo("rows.npy")
                return rows.file_size, rows.CRC
        except (OSError, KeyError, ValueError, NotImplementedError, BadZipFile):
            return None


def find(root: Path) -> list[Record]:
    """Return every run at or under `root`, sorted by path.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        near = [str(p) for p in root.absolute().parent.glob("*") if p.is_dir()]
        raise UserError(f"{root}: there is no such folder; {nearest(str(root), near)}")
    return [read(folder) for folder in sorted(run_folders(root))]


def survey(root: Path) -> list[Record]:
    """Return every run at or under `root`, sorted by path, without the `per_class` metrics.

    A faster `find` for thousands of runs: folders with a result.json are not listed, `per_class` is not parsed, and
    pydantic_core's parser is used, which takes 0.07 ms for a result of 16 kB (json: 0.18 ms) and interns strings.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        return find(root)
    with gc_paused():
        return sorted(_scan(root, _Walk()), key=lambda record: record.folder.parts)


def _scan(folder: Path, walk: "_Walk", depth: int | None = None) -> Iterator[Record]:
    try:
        with open_regular(f"{folder}/result.json") as file:
            content = file.read(MOST_BYTES)
    except OSError:
        pass
    else:
        yield _parse(folder, content)
        return
    subfolders = walk.subfolders(folder, depth)
    if subfolders is None:
        yield read(folder)
        return
    for subfolder, depth_below in subfolders:
        yield from _scan(subfolder, walk, depth_below)


def _parse(folder: Path, content: bytes) -> Record:
    """Return the record without `per_class`."""
    try:
        result = parse_result(folder / "result.json", _without_per_class(content))
    except UserError as error:
        return Record(folder, {}, str(error))
    for split in (result.get("metrics") or {}).values():
        split.pop("per_class", None)
    return Record(folder, result)


def _without_per_class(content: bytes) -> bytes:
    """Remove `per_class`, more than half of the file, from a result.json as Leyden writes it (indent of one space).

    JSON strings contain no newlines, so the pattern matches only the fields. Any other layout is returned unchanged.
    """
    parts, position, start = [], 0, content.find(b'\n "metrics": {')
    while start >= 0 and (start := content.find(_PER_CLASS, start)) >= 0:
        end = content.find(_PER_CLASS_END, start)
        if end < 0:
            return content
        parts.append(content[position:start])
        start = position = end + len(_PER_CLASS_END)
    return b"".join([*parts, content[position:]])


def run_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of runs at or under `root`; a run's own subfolders are not searched."""
    yield from _folders_below(root, _Walk(), None)


def _folders_below(folder: Path, walk: "_Walk", depth: int | None) -> Iterator[Path]:
    subfolders = walk.subfolders(folder, depth)
    if subfolders is None:
        yield folder
        return
    for subfolder, depth_below in subfolders:
        yield from _folders_below(subfolder, walk, depth_below)


class _Walk:
    """One search for runs. A link is followed, but each target once (links may form a loop) and not far below."""

    def __init__(self) -> None:
        self._linked: set[str] = set()

    def subfolders(self, folder: Path, depth: int | None) -> list[tuple[Path, int | None]] | None:
        """Return the subfolders that may contain runs; None if the folder itself is a run's.

        depth: how many levels may still be searched; None: any number, where no link has been followed.
        """
        try:
            with os.scandir(folder) as entries:
                content = list(entries)
        except PermissionError:  # of somebody else
            return []
        if any(entry.name in ("result.json", "config.yaml") for entry in content):
            return None
        found = [(entry, self._depth(entry, depth)) for entry in content if not entry.name.startswith(".")]
        return [(Path(entry.path), below) for entry, below in found if below != _NO_FURTHER]

    def _depth(self, entry: os.DirEntry[str], depth: int | None) -> int | None:
        """Return the levels below an entry that may be searched; `_NO_FURTHER` if it is no folder to search."""
        if depth == 0 or not entry.is_dir():
            return _NO_FURTHER
        if not entry.is_symlink():
            return depth if depth is None else depth - 1
        target = os.path.realpath(entry.path)
        if target in self._linked:
            return _NO_FURTHER
        self._linked.add(target)
        return _BELOW_A_LINK if depth is None else depth - 1


def read(folder: Path) -> Record:
    """Read one run's record; of a damaged file, `problem` holds the error message, so that listing others works."""
    try:
        return Record(folder, Run(folder).result() or {})
    except UserError as error:
        return Record(folder, {}, str(error))


def flat(node: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Flatten a nested mapping to [(dotted key, value), ...]; an empty mapping is a leaf."""
    return _leaves(node, "", [])


def _leaves(node: Mapping[str, Any], prefix: str, found: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Append the leaves to `found`: three times as fast as a generator."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            _leaves(value, f"{prefix}{key}.", found)
        else:
            found.append((f"{prefix}{key}", value))
    return found
