"""Do the jobs of a plan: here one after another, or in worker processes. Jobs that another shell has come last."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from leyden.console import console
from leyden.sweeps.plan import Job

if TYPE_CHECKING:
    from leyden.train import Outcome

Train = Callable[[Job], "Outcome"]


def next_of(waiting: list[Job]) -> Job | None:
    """Take the next job out of `waiting`: one that nobody is at work on, else the first; None if all is done."""
    waiting[:] = [job for job in waiting if not job.settled()]
    if not waiting:
        return None
    free = next((job for job in waiting if not job.run.locked()), waiting[0])
    waiting.remove(free)
    return free


def here(jobs: Sequence[Job], train: Train) -> None:
    """One after another in this process. Stops at an interrupted one."""
    waiting = list(jobs)
    while (job := next_of(waiting)) is not None:
        console.rule(f"job {job.number}, {len(waiting)} after it: {job.words}", align="left")
        if train(job).status == "interrupted":
            raise KeyboardInterrupt
