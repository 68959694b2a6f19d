"""Run the jobs of a sweep one after another in this process; jobs that another process is running come last."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from leyden.sweeps.plan import Job
from leyden.sweeps.progress import time_left
from leyden.utils.console import console

if TYPE_CHECKING:
    from leyden.training.job import Outcome

Train = Callable[[Job], "Outcome"]


def next_of(waiting: list[Job]) -> Job | None:
    """Remove and return the next job of `waiting`: one that is not locked, else the first; None if all are done."""
    waiting[:] = [job for job in waiting if not job.is_done()]
    if not waiting:
        return None
    free = next((job for job in waiting if not job.run.is_locked()), waiting[0])
    waiting.remove(free)
    return free


def run_here(jobs: Sequence[Job], train: Train, expected: float | None) -> None:
    """Run jobs one after another in this process.

    Args:
        jobs: to run.
        train: trains one job.
        expected: seconds for all of them, if known.

    Raises:
        KeyboardInterrupt: a job was interrupted.
    """
    waiting, failed, started = list(jobs), 0, time.monotonic()
    while (job := next_of(waiting)) is not None:
        done = len(jobs) - len(waiting) - 1
        status = time_left(done, len(jobs), failed, time.monotonic() - started, expected)
        console.rule(f"job {job.number} ({done} of {len(jobs)} done{status}): {job.label}", align="left")
        outcome = train(job)
        if outcome.status == "interrupted":
            raise KeyboardInterrupt
        failed += outcome.status in ("failed", "refused")
