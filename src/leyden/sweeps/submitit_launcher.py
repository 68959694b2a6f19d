"""Jobs that Hydra's submitit launcher has handed to Slurm: one that dies must not hide the others.

The launcher waits for the jobs in turn and raises at the first that has died (out of memory, a lost node, scancel, the
end of its time), though the rest are at work. For the time of a launch a dead job is said instead, and waited on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leyden.utils.console import console

_LAST = 2  # lines of a dead job's own words


@contextmanager
def wait_for_each(launcher: Any) -> Iterator[None]:
    """Around `launcher.launch(...)`; does nothing for launchers other than submitit's.

    Raises:
        KeyboardInterrupt: interrupted; the jobs go on, and how to cancel them has been said.
    """
    if not type(launcher).__module__.startswith("hydra_plugins.hydra_submitit_launcher"):
        yield
        return
    from submitit.core import core

    kind: Any = core.Job
    results = kind.results

    def patient(job: Any) -> list[Any]:
        try:
            return list(results(job))
        except KeyboardInterrupt:
            _say_that_jobs_go_on(job)
            raise
        except Exception as error:  # of whatever kind the job has died: the sweep's table shows its state
            console.print(
                f"job {job.job_id}: {_brief(job, error)}", style="red", markup=False, soft_wrap=True
            )
            return [error]

    kind.results = patient
    try:
        yield
    finally:
        kind.results = results


def _say_that_jobs_go_on(job: Any) -> None:
    array = str(job.job_id).partition("_")[0]
    if type(job).__name__ == "SlurmJob":
        console.print(f"the jobs go on; scancel {array} ends them, and they save their state first")


def _brief(job: Any, error: Exception) -> str:
    """The state that Slurm tells, the job's last words, and where the rest is."""
    words = [line for line in (job.stderr() or "").splitlines() if line.strip()] or str(error).splitlines()
    return f"{job.state}: {' '.join(words[-_LAST:])} (see {job.paths.stderr})"
