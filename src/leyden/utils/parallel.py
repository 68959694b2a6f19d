"""Map a function over many items in a thread pool: ordered results, bounded memory, a progress bar for long work.

Threads suffice, since the work per item (reading, hashing, libjpeg, libsndfile) releases the GIL.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from leyden.utils.runtime import available_cores

T = TypeVar("T")
R = TypeVar("R")

MAX_THREADS = 8  # beyond this a single disk, not the processors, is the bottleneck
PATIENCE = 1.0  # seconds of work before a progress bar appears


def threads() -> int:
    """Return the number of decoding threads: the cores available to this process, at most `MAX_THREADS`."""
    return min(available_cores(), MAX_THREADS)


def parallel_map(function: Callable[[T], R], items: Sequence[T], label: str, chunk: int = 64) -> Iterator[R]:
    """Yield `function(item)` for every item, in order; at most `2 * threads() + 1` chunks of results are buffered."""

    def run(start: int) -> list[R]:
        return [function(item) for item in items[start : start + chunk]]

    starts = iter(range(0, len(items), chunk))
    pool = ThreadPoolExecutor(threads())
    bar = _Bar(label, len(items))
    try:
        pending: deque[Future[list[R]]] = deque()
        pending.extend(pool.submit(run, start) for start in islice(starts, 2 * threads()))
        while pending:
            results = pending.popleft().result()
            pending.extend(pool.submit(run, start) for start in islice(starts, 1))
            yield from results
            bar.advance(len(results))
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)


class _Bar:
    """A progress bar on stderr (terminals only) that appears after `PATIENCE` seconds of work."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._started = time.monotonic()
        self._progress: Any = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done)
        elif self._done < self._total and sys.stderr.isatty() and time.monotonic() - self._started > PATIENCE:
            self._open()

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._progress.start()
        self._task = self._progress.add_task(self._label, total=self._total, completed=self._done)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
