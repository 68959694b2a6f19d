"""Readers of the files in which well-known image sets come: idx, CIFAR-10's pickles, an archive of JPEGs."""

import bz2
import gzip
import lzma
import math
import pickle
import tarfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import numpy as np

from leyden.utils.errors import UserError

# JPEGs hardly compress: what unpacks to more was made to fill memory. Small archives may be mostly padding.
_MOST_RATIO, _LEAST_BYTES = 20, 1 << 26


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file (MNIST's format): 0, 0, type 8, ndim, sizes (big-endian), values."""
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise UserError(f"{path}: is no idx file of bytes; delete it to download it again")
    shape = np.frombuffer(content, dtype=">u4", count=content[3], offset=4).tolist()
    start, expected = 4 + 4 * content[3], math.prod(shape)
    if len(content) - start != expected:
        raise UserError(f"{path}: has {len(content) - start} bytes of values, expected {expected:,}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


class _Array:
    """Stands for NumPy's array and its dtype in a pickle: NumPy's own would take addresses from one for objects."""

    def __init__(self, *_: object) -> None:
        self.content, self.shape, self.order = b"", (0,), "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if len(state) == 5:  # of an array: version, shape, dtype, whether it is in Fortran's order, bytes
            _, self.shape, _, is_fortran, self.content = state
            self.order = "F" if is_fortran else "C"

    def pixels(self) -> np.ndarray:
        """The bytes in their shape, uint8."""
        return np.frombuffer(self.content, dtype=np.uint8).reshape(self.shape, order=self.order)  # type: ignore[call-overload]


class _ArraysOnly(pickle.Unpickler):
    """Unpickles what CIFAR-10's files hold, arrays of bytes, and nothing that could run code."""

    ALLOWED: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Array,
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return self.ALLOWED[module, name]


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, 32, 32) and labels int64 (n,) of one of CIFAR-10's pickled batches."""
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        images = content[b"data"].pixels().reshape(-1, 3, 32, 32)
        labels = np.asarray(content[b"labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: is no batch of CIFAR-10 ({error}); delete it to download it again"
        ) from error
    if len(images) != len(labels):
        raise UserError(f"{path}: {len(images)} images but {len(labels)} labels")
    return images, labels


class _Bounded:
    """The decompressed bytes of a file, at most `_MOST_RATIO` times as many as it has: an archive may be a bomb."""

    _OPENERS: ClassVar[dict[bytes, Callable[..., Any]]] = {
        b"\x1f\x8b": gzip.open,
        b"BZ": bz2.open,
        b"\xfd7": lzma.open,
    }

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            opener = self._OPENERS.get(file.read(2), open)
        self._file = opener(path, "rb")
        self._most = self._left = max(_LEAST_BYTES, _MOST_RATIO * path.stat().st_size)

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise tarfile.ReadError(
                f"it unpacks to more than {self._most:,} bytes, as no archive of pictures does"
            )
        return block

    def close(self) -> None:
        self._file.close()


def read_jpeg_archive(path: Path) -> list[tuple[str, bytes]]:
    """(name, content) of every JPEG in a tar archive, sorted by name; nothing is unpacked.

    Raises:
        UserError: it is no tar archive, or unpacks to far more than its size.
    """
    members = []
    try:
        with (
            closing(_Bounded(path)) as content,
            tarfile.open(fileobj=cast(IO[bytes], content), mode="r|") as archive,  # "|": one pass
        ):
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and member.name.lower().endswith((".jpg", ".jpeg")):
                    members.append((member.name.removeprefix("./"), file.read()))
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a tar archive: {error}") from error
    return sorted(members)
