"""The predictions that a run has stored: predictions/val.npz and test.npz, and the margins of its training rows."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from leyden.runs.run import MARGINS, Run
from leyden.utils.errors import UserError, first_line
from leyden.utils.files import damaged, open_regular

SPLITS = ("val", "test")
T = TypeVar("T")
_OF_MARGINS = ("rows", "labels", "margins", "draws", "answers")
_MOST_BYTES = 1 << 32  # unpacked; of a million rows and 1,000 classes

Stored = dict[str, NDArray[Any]]


def path_of(folder: Path, split: str) -> Path:
    """The file of a split's predictions."""
    return folder / "predictions" / f"{split}.npz"


def stored_splits(folder: Path) -> list[str]:
    """The splits that a run has predictions of, val before test."""
    return [split for split in SPLITS if path_of(folder, split).exists()]


def read_predictions(folder: Path, split: str) -> Stored:
    """Arrays by name, as `Task.predictions` gave them, and `rows` int64 (N,) of the data set.

    Raises:
        UserError: there are none, with the reason, or the file is damaged.
    """
    path = path_of(folder, split)
    if not path.exists():
        raise UserError(f"{folder} has no predictions of {split}: {_why_none(folder, split)}")
    return checked(path, lambda: _read(path))


def read_margins(folder: Path) -> Stored | None:
    """Arrays (n,) by name of the training rows over the epochs; None: the run has none.

    `rows` of the data set, `labels`, `margins` float32 in -1 .. 1 (NaN of a row that was not drawn), `draws`, and
    `answers`, what the net last answered in place of the label; where labels were made wrong on purpose,
    `source_labels`.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / MARGINS
    if not path.exists():
        return None
    stored = checked(path, lambda: _read(path, may_be_nan=("margins",)))
    return checked(path, lambda: {name: stored[name] for name in (*_OF_MARGINS, *stored)})


def checked(path: Path, make: Callable[[], T]) -> T:
    """What `make` gives of a file's arrays; UserError where they are not those that a run stores."""
    try:
        return make()
    except (BadZipFile, ValueError, TypeError, LookupError, AttributeError, NotImplementedError) as error:
        raise damaged(path, first_line(error)) from error
    except (OSError, EOFError, MemoryError, OverflowError, zlib.error) as error:
        raise damaged(path, getattr(error, "strerror", None) or first_line(error)) from error


def _read(path: Path, may_be_nan: Sequence[str] = ()) -> Stored:
    with open_regular(path) as file:
        if sum(part.file_size for part in ZipFile(file).infolist()) > _MOST_BYTES:
            raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
    rows = stored["rows"]
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError("`rows` are not row numbers")
    for name, values in stored.items():
        if values.shape[:1] != rows.shape or values.dtype.kind not in "iufb":
            raise ValueError(f"`{name}` does not have a number for each row")
        if name not in may_be_nan and np.isnan(values).any():
            raise ValueError(f"`{name}` has values that are NaN")
    return {**stored, "rows": rows.astype(np.int64)}


def _why_none(folder: Path, split: str) -> str:
    """In words, with what to do."""
    state = Run(folder).state()
    others = [f"--split {other}" for other in stored_splits(folder)]
    if others:
        return f"it has those of {others[0]}"
    if state != "complete":
        return f"it is {state}; they are written when it is finished"
    if split in ((Run(folder).result() or {}).get("metrics") or {}):
        return "its module keeps no outputs (`evaluations`, docs/extending.md)"
    return "it was not evaluated on this split"
