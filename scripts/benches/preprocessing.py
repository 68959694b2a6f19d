"""From files to columns: pictures beside a loop of Pillow in two threads, memory, and the resampling of recordings.

The 60,000 JPEG files of 48 x 48 pixels are made in a temporary folder. Leyden's time is that of the first start: files
are found, read once for their digests and once to be decoded, checked and stored. Pillow's loop only decodes them, into
memory. The large set is made when it is decoded: 5 GB, or half of what the disk has free, go through the same code onto
the disk, and off it again.
"""

import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benches.measure import Case, Given, in_process, per_call

FILES, PIXELS = 60_000, 48
LARGE, SIDE = 5e9, 256  # bytes of the large set, pixels of its pictures
KIB = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, else KiB


def cases(given: Given) -> Iterator[Case]:
    """Speed, memory, resampling."""
    folder, cache = given.scratch / "jpeg", given.scratch / "columns"
    if given.only in f"{FILES:,} JPEG files to columns":
        make(folder)
    ways: dict[str, Callable[[], float]] = {
        "Pillow, two threads": partial(in_process, pillow, str(folder)),
        "leyden": partial(in_process, columns, str(folder), str(cache)),
    }
    yield Case(f"{FILES:,} JPEG files to columns", ways)
    shutil.rmtree(folder, ignore_errors=True)
    size = min(LARGE, shutil.disk_usage(given.scratch).free / 2)
    memory = partial(in_process, large, str(cache), size)
    yield Case(f"{size / 1e9:.1f} GB to columns", together=memory, unit="", ratios=False, once=True)
    kinds = {
        kind: partial(in_process, resampling, kind) for kind in ("scipy, default filter", "leyden, soxr")
    }
    yield Case("a minute of 44,100 Hz to 16,000", kinds, "ms")


def make(folder: Path) -> None:
    """Write the pictures: smooth noise, ten classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for place in range(FILES):
        parent = folder / f"class{place % 10}"
        parent.mkdir(parents=True, exist_ok=True)
        noise = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        picture = noise.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
        picture.save(parent / f"{place:06d}.jpg", quality=90)


def columns(folder: str, cache: str) -> float:
    """Seconds of Leyden's first start with these files."""
    from leyden.data.cache import load
    from leyden.data.sources.image import ImageFolder

    shutil.rmtree(cache, ignore_errors=True)
    begun = time.perf_counter()
    table = load(ImageFolder(folder), Path(cache))
    seconds = time.perf_counter() - begun
    assert len(table) == FILES
    shutil.rmtree(cache)
    return seconds


def pillow(folder: str) -> float:
    """Seconds of a loop as anyone writes it."""
    from PIL import Image

    def decoded(path: Path) -> Any:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))

    begun = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        found = np.stack(list(pool.map(decoded, sorted(Path(folder).rglob("*.jpg")))))
    assert len(found) == FILES
    return time.perf_counter() - begun


class Large:
    """Pictures that are made when they are decoded."""

    modality: ClassVar[str] = "image"

    def __init__(self, size: float) -> None:
        self.count = int(size // (3 * SIDE * SIDE))

    def fingerprint(self, cache: Path) -> str:
        """Any."""
        return "0" * 32

    def index(self) -> Any:
        """Two classes."""
        from leyden.data.index import Index

        return Index(np.arange(self.count) % 2, ("a", "b"))

    def decode(self, row: int) -> np.ndarray:
        """Filled with a number."""
        return np.full((3, SIDE, SIDE), row % 251, dtype=np.uint8)

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}


def large(cache: str, size: float) -> dict[str, float]:
    """Seconds, and by how many MB the peak memory rises above that of the imports."""
    from leyden.data.cache import load

    before, begun = peak(), time.perf_counter()
    source = Large(size)
    table = load(source, Path(cache))
    found = {"seconds": time.perf_counter() - begun, "MB above the imports": peak() - before}
    assert len(table) == source.count
    shutil.rmtree(cache)
    return found


def peak() -> float:
    """Peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB / 1e6


def resampling(kind: str, rate: int = 44_100, wanted: int = 16_000) -> float:
    """Milliseconds of resampling a minute of sound."""
    from math import gcd

    from scipy.signal import resample_poly

    from leyden.data.decode import resample

    minute, common = np.random.default_rng(0).normal(0, 1000, 60 * rate), gcd(rate, wanted)
    if kind.startswith("leyden"):
        return per_call(lambda: resample(minute, rate, wanted))
    return per_call(lambda: resample_poly(minute, wanted // common, rate // common))
