"""Files of the cache: arrays written as a stream, folders that appear whole or not at all."""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from leyden.utils.errors import UserError

# What reading an entry raises where it is absent, damaged (a copy broken off) or of another version: it is made anew.
DAMAGED = (FileNotFoundError, ValueError, KeyError, TypeError, EOFError)
ABANDONED = 24 * 3600  # seconds after which a temporary folder is taken for a killed process's remains


class ArrayWriter:
    """Writes an .npy file of shape (n, *item) block by block; n is known only at the end.

    NumPy pads the header so that its first axis may grow in place, hence the header is written twice:
    before the first block and, with the final n, at `close`.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any] | type, item: tuple[int, ...] = ()) -> None:
        """See the class."""
        self._file: BinaryIO = path.open("wb", buffering=1 << 20)
        self.dtype, self.item, self.count = np.dtype(dtype), item, 0
        self._header()
        self._start = self._file.tell()

    def _header(self) -> None:
        description = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.count, *self.item),
        }
        np.lib.format.write_array_header_1_0(self._file, description)

    def append(self, block: np.ndarray) -> None:
        """Add `block` (k, *item) at the end."""
        self._file.write(np.ascontiguousarray(block, dtype=self.dtype).data)
        self.count += len(block)

    def close(self) -> None:
        """Write the true length into the header and close the file."""
        self._file.seek(0)
        self._header()
        if self._file.tell() != self._start:
            raise RuntimeError("NumPy's header did not keep its length; the array written is unreadable")
        self._file.close()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling that becomes `target` at a clean exit, unless another process was there first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    folder = target.parent / f".tmp-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Delete temporary folders that a killed process left behind."""
    for folder in parent.glob(".tmp-*"):
        try:
            abandoned = time.time() - folder.stat().st_mtime > ABANDONED
        except FileNotFoundError:  # its owner has just finished
            continue
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def vanished(folder: Path) -> UserError:
    """The error of an entry that cannot be read although it was written just now."""
    return UserError(
        f"the cache {folder} vanished or was damaged while it was written; run the command again"
    )


def open_array(path: Path) -> np.ndarray:
    """The array of `path`, memory-mapped copy-on-write (so that torch takes it without a warning)."""
    return np.load(path, mmap_mode="c").view(np.ndarray)  # slicing a memmap object costs ten times more
