"""The live display of jobs that train in other processes, on this machine or on a cluster: read from their folders."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from leyden.console import console
from leyden.reporting.records import read
from leyden.reporting.words import duration, number
from leyden.sweeps.plan import Job

_EVERY = 0.5  # seconds between two looks
_LINES = 8  # running jobs shown


class Watch:
    """A bar for the sweep and a line for each running job; where there is no terminal, a line for each that ends.

    Args:
        jobs: to watch.
        expected: seconds for all of them, if known.
    """

    def __init__(self, jobs: Sequence[Job], expected: float | None) -> None:
        self._open, self._total, self._expected = list(jobs), len(jobs), expected
        self._failed = 0
        self._started = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(
            *columns, TextColumn("{task.fields[left]}"), console=console, transient=True
        )
        self._all = self._progress.add_task("jobs", total=self._total, left="")
        self._lines: dict[int, TaskID] = {}

    def __enter__(self) -> "Watch":
        if console.is_terminal:
            self._progress.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._look()
        self._progress.stop()

    def _watch(self) -> None:
        while not self._ending.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        ended = [job for job in self._open if _touched(job) and job.settled()]
        for job in ended:
            self._open.remove(job)
            self._tell(job)
        self._show_running()
        done = self._total - len(self._open)
        failed = f", {self._failed} failed" if self._failed else ""
        self._progress.update(self._all, completed=done, left=f"{self._left(done)}{failed}")

    def _tell(self, job: Job) -> None:
        record = read(job.run.folder)
        self._failed += record.state == "failed"
        error = record.result.get("error") or {}
        found = number(record.best["value"]) if record.best else error.get("message", "")
        took = f"  {duration(record.seconds)}" if record.seconds is not None else ""
        console.print(f"{record.state}  {job.words}  {found}{took}", soft_wrap=True, markup=False)

    def _left(self, done: int) -> str:
        gone = time.monotonic() - self._started
        whole = gone * self._total / done if done else self._expected
        return f"about {duration(max(0.0, whole - gone))} left" if whole else ""

    def _show_running(self) -> None:
        running = {job.number: job for job in self._open if _touched(job)}
        for gone in [n for n in self._lines if n not in running]:
            self._progress.remove_task(self._lines.pop(gone))
        for number_, job in list(running.items())[:_LINES]:
            epochs = int(job.plain["trainer"]["max_epochs"])
            if number_ not in self._lines:
                self._lines[number_] = self._progress.add_task(f"  {job.words}", total=epochs, left="epochs")
            self._progress.update(self._lines[number_], completed=len(read(job.run.folder).curves()))


def _touched(job: Job) -> bool:
    return job.run.stamp() != job.known
