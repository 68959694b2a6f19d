"""Do the jobs of a plan: here one after another, or in worker processes. Jobs that another shell has come last."""

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
    """Take the next job out of `waiting`: one that nobody is at work on, else the first; None if all is done."""
    waiting[:] = [job for job in waiting if not job.settled()]
    if not waiting:
        return None
    free = next((job for job in waiting if not job.run.locked()), waiting[0])
    waiting.remove(free)
    return free


def run_here(jobs: Sequence[Job], train: Train, expected: float | None) -> None:
    """One after another in this process. Stops at an interrupted one. expected: seconds for all, if known."""
    waiting, failed, begun = list(jobs), 0, time.monotonic()
    while (job := next_of(waiting)) is not None:
        done = len(jobs) - len(waiting) - 1
        rest = time_left(done, len(jobs), failed, time.monotonic() - begun, expected)
        console.rule(f"job {job.number} ({done} of {len(jobs)} done{rest}): {job.words}", align="left")
        status = train(job).status
        if status == "interrupted":
            raise KeyboardInterrupt
        failed += status in ("failed", "refused")
