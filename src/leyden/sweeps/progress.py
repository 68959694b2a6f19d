"""The live display of jobs that train in other processes, on this machine or on a cluster: read from their folders."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from leyden.reporting.format import duration, number
from leyden.runs.records import read
from leyden.sweeps.plan import Job
from leyden.utils.console import console

_EVERY = 0.5  # seconds between two looks
_LINES = 8  # running jobs shown


class ProgressDisplay:
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

    def __enter__(self) -> "ProgressDisplay":
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
        rest = time_left(done, self._total, self._failed, time.monotonic() - self._started, self._expected)
        self._progress.update(self._all, completed=done, left=rest.removeprefix(", "))

    def _tell(self, job: Job) -> None:
        record = read(job.run.folder)
        self._failed += record.state == "failed"
        error = record.result.get("error") or {}
        found = number(record.best["value"]) if record.best else error.get("message", "")
        took = f"  {duration(record.seconds)}" if record.seconds is not None else ""
        console.print(f"{record.state}  {job.words}  {found}{took}", soft_wrap=True, markup=False)

    def _show_running(self) -> None:
        running = {job.number: job for job in self._open if _touched(job)}
        for gone in [n for n in self._lines if n not in running]:
            self._progress.remove_task(self._lines.pop(gone))
        for number_, job in list(running.items())[:_LINES]:
            epochs = int(job.plain["trainer"]["max_epochs"])
            if number_ not in self._lines:
                self._lines[number_] = self._progress.add_task(f"  {job.words}", total=epochs, left="epochs")
            self._progress.update(self._lines[number_], completed=len(read(job.run.folder).curves()))


def time_left(done: int, total: int, failed: int, gone: float, expected: float | None) -> str:
    """What a display says after the jobs that are done: `, 1 failed, about 12 s left`.

    Args:
        done: jobs.
        total: jobs.
        failed: of those that are done.
        gone: seconds since the first began: from the first end on, their pace is the rest's.
        expected: seconds for all jobs, which count until then; None: unknown.
    """
    whole = gone * total / done if done else expected
    left = f", about {duration(max(0.0, whole - gone))} left" if whole and done < total else ""
    return f"{f', {failed} failed' if failed else ''}{left}"


def _touched(job: Job) -> bool:
    return job.run.stamp() != job.known
