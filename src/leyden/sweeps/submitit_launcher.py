"""Wait for all jobs of Hydra's submitit launcher (Slurm), even if some of them die.

The launcher waits for the jobs in order and raises at the first that has died (out of memory, node failure, scancel,
time limit) although the others are still running. During a launch, a dead job is printed instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leyden.utils.console import console

_LAST_LINES = 2  # of a dead job's stderr


@contextmanager
def wait_for_each(launcher: Any) -> Iterator[None]:
    """Context manager around `launcher.launch(...)`; does nothing for launchers other than submitit's.

    Raises:
        KeyboardInterrupt: interrupted; the jobs continue, and how to cancel them has been printed.
    """
    if not type(launcher).__module__.startswith("hydra_plugins.hydra_submitit_launcher"):
        yield
        return
    from submitit.core import core

    job_class: Any = core.Job
    results = job_class.results

    def results_or_error(job: Any) -> list[Any]:
        try:
            return list(results(job))
        except KeyboardInterrupt:
            _print_cancel_hint(job)
            raise
        except Exception as error:  # whatever the reason of its death: the sweep's table shows its state
            console.print(f"job {job.job_id}: {_format_error(job, error)}", style="red")
            return [error]

    job_class.results = results_or_error
    try:
        yield
    finally:
        job_class.results = results


def _print_cancel_hint(job: Any) -> None:
    array = str(job.job_id).partition("_")[0]
    if type(job).__name__ == "SlurmJob":
        console.print(f"the jobs continue; to stop them (they save their state first): scancel {array}")


def _format_error(job: Any, error: Exception) -> str:
    """Format Slurm's state, the last lines of the job's stderr, and the path of its log."""
    lines = [line for line in (job.stderr() or "").splitlines() if line.strip()] or str(error).splitlines()
    return f"{job.state}: {' '.join(lines[-_LAST_LINES:])} (see {job.paths.stderr})"
