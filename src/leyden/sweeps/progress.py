"""Live progress of jobs that train in other processes, on this machine or a cluster, read from their folders."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from leyden.reporting.format import duration, number
from leyden.runs.records import read
from leyden.sweeps.plan import Job
from leyden.utils.console import console

_POLL_SECONDS = 0.5
_MAX_LINES = 8  # running jobs listed


class ProgressDisplay:
    """A progress bar for the sweep and for each running job; without a terminal, one line per finished job.

    Args:
        jobs: to monitor.
        expected: seconds for all of them, if known.
    """

    def __init__(self, jobs: Sequence[Job], expected: float | None) -> None:
        self._open, self._total, self._expected = list(jobs), len(jobs), expected
        self._failed = 0
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
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
        self._stop.set()
        self._thread.join()
        self._update()
        self._progress.stop()

    def _poll(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        ended = [job for job in self._open if _has_changed(job) and job.is_done()]
        for job in ended:
            self._open.remove(job)
            self._print_result(job)
        self._update_running()
        done = self._total - len(self._open)
        status = time_left(done, self._total, self._failed, time.monotonic() - self._started, self._expected)
        self._progress.update(self._all, completed=done, left=status.removeprefix(", "))

    def _print_result(self, job: Job) -> None:
        record = read(job.run.folder)
        self._failed += record.state == "failed"
        error = record.result.get("error") or {}
        result = number(record.best["value"]) if record.best else error.get("message", "")
        seconds = f"  {duration(record.seconds)}" if record.seconds is not None else ""
        console.print(f"{record.state}  {job.label}  {result}{seconds}")

    def _update_running(self) -> None:
        running = {job.number: job for job in self._open if _has_changed(job)}
        for ended in [n for n in self._lines if n not in running]:
            self._progress.remove_task(self._lines.pop(ended))
        for number_, job in list(running.items())[:_MAX_LINES]:
            epochs = int(job.plain["trainer"]["max_epochs"])
            if number_ not in self._lines:
                self._lines[number_] = self._progress.add_task(f"  {job.label}", total=epochs, left="epochs")
            self._progress.update(self._lines[number_], completed=len(read(job.run.folder).curves()))


def time_left(done: int, total: int, failed: int, gone: float, expected: float | None) -> str:
    """Format the number of failed jobs and the remaining time: `, 1 failed, about 12 s left`.

    Args:
        done: number of finished jobs.
        total: number of jobs.
        failed: number of failed jobs among the finished ones.
        gone: seconds since the start; extrapolated as soon as a job is finished.
        expected: seconds for all jobs, used until then; None: unknown.
    """
    estimate = gone * total / done if done else expected
    left = f", about {duration(max(0.0, estimate - gone))} left" if estimate and done < total else ""
    return f"{f', {failed} failed' if failed else ''}{left}"


def _has_changed(job: Job) -> bool:
    return job.run.stamp() != job.known
