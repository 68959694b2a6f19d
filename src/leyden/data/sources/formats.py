"""Readers of the files in which well-known image sets come: idx, CIFAR-10's pickles, an archive of JPEGs."""

import pickle
import tarfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leyden.utils.errors import UserError


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file (MNIST's format): 0, 0, type 8, ndim, sizes (big-endian), values."""
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise UserError(f"{path}: is no idx file of bytes; delete it to download it again")
    shape = np.frombuffer(content, dtype=">u4", count=content[3], offset=4).astype(int)
    start = 4 + 4 * content[3]
    if len(content) - start != shape.prod():
        raise UserError(f"{path}: has {len(content) - start} bytes of values, expected {shape.prod()}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles what CIFAR-10's files hold and nothing that could run code."""

    ALLOWED: ClassVar[set[tuple[str, str]]] = {
        *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, 32, 32) and labels int64 (n,) of one of CIFAR-10's pickled batches."""
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="bytes").load()
        images = np.asarray(content[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(content[b"labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: is no batch of CIFAR-10 ({error}); delete it to download it again"
        ) from error
    if len(images) != len(labels):
        raise UserError(f"{path}: {len(images)} images but {len(labels)} labels")
    return images, labels


def read_jpeg_archive(path: Path) -> list[tuple[str, bytes]]:
    """(name, content) of every JPEG in a tar archive, sorted by name; nothing is unpacked."""
    members = []
    try:
        with tarfile.open(path, "r|*") as archive:  # "|": one pass, as the stream comes
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and member.name.lower().endswith((".jpg", ".jpeg")):
                    members.append((member.name.removeprefix("./"), file.read()))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a tar archive: {error}") from error
    return sorted(members)
