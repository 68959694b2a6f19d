"""`leyden train [key=value ...]`: one configuration, or with -m a sweep.

The same command again: complete -> prints the stored result; interrupted -> resumes; failed -> trains again;
running in another process -> waits for it and prints its result.
"""

import functools
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from leyden.cli.follow import follow_first_task
from leyden.config.compose import config_dirs_of, job_of, run_hydra
from leyden.runs.run import EXIT_STATUS
from leyden.training import slurm
from leyden.training.continuation import with_parent
from leyden.training.job import Outcome, _catch_failures, attempt, run
from leyden.utils.errors import UserError, print_error
from leyden.utils.runtime import WARNINGS, sigterm_interrupts
from leyden.utils.trust import FLAG

if TYPE_CHECKING:
    from leyden.sweeps.sweep import Sweep


def main(arguments: Sequence[str]) -> int:
    """Run Hydra's command line with a `HydraJob`; returns the exit status."""
    if slurm.is_follower():
        return follow_first_task()
    with sigterm_interrupts(), slurm.lead_tasks():
        return _main(arguments)


def _main(arguments: Sequence[str]) -> int:
    from leyden.sweeps import worker_pool
    from leyden.sweeps.sweep import Sweep, options_of

    options, others = options_of(arguments)
    if options.jobs > 1 and not options.plan:
        worker_pool.warm_up()
    if options.multirun and slurm.task_count() > 1:
        raise UserError(
            f"-m under srun with {slurm.task_count()} tasks: run the sweep as one task (srun --ntasks=1), "
            "or its jobs as separate Slurm jobs: hydra/launcher=submitit_slurm without srun"
        )
    others = with_parent(others)
    flags = [f"--config-dir={folder}" for folder in config_dirs_of(others)]
    flags += [FLAG] if options.trust else []
    elsewhere = functools.partial(_run_elsewhere, flags=tuple(flags))
    task = HydraJob(Sweep(options.jobs, options.plan, flags, attempt, elsewhere), flags)
    try:
        run_hydra(task, others)
    except KeyboardInterrupt:
        if not (task.outcomes or task.sweep.jobs):
            raise
    finally:
        task.sweep.show()
    if options.multirun:
        return task.sweep.status()
    return max((EXIT_STATUS[o.status] for o in task.outcomes), default=0)


class HydraJob:
    """Hydra's task function, called with the configuration of a single run; for -m it provides the sweep."""

    def __init__(self, sweep: "Sweep", flags: Sequence[str]) -> None:
        self.sweep, self._flags = sweep, flags
        self.outcomes: list[Outcome] = []

    def __call__(self, cfg: DictConfig) -> None:
        """Train the configuration and keep the outcome."""
        outcome = _catch_failures(lambda: run(*_plain_and_command(cfg, self._flags)))
        self.outcomes.append(outcome)
        if outcome.status == "refused":
            print_error(outcome.message)
        if outcome.status == "interrupted":
            raise KeyboardInterrupt


def _plain_and_command(cfg: DictConfig, flags: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return a job's plain configuration, and the command that trains only this job."""
    from leyden.tuning.trial import words_of

    plain, overrides = job_of(cfg)
    return plain, ["leyden", "train", *flags, *(override.lstrip("+") for override in words_of(overrides))]


def _run_elsewhere(cfg: DictConfig, flags: Sequence[str]) -> "Outcome":
    """Run a job of another launcher, in another process and possibly on another machine."""
    from leyden.config.compose import find_own_code

    if slurm.is_follower():
        return Outcome("complete" if follow_first_task() == 0 else "interrupted")
    find_own_code(config_dirs_of(flags))
    with slurm.lead_tasks():
        outcome = _catch_failures(lambda: run(*_plain_and_command(cfg, flags), verbose=False))
    if outcome.signal in WARNINGS and callable(signal.getsignal(outcome.signal)):
        signal.raise_signal(outcome.signal)  # the state is saved: now submitit may requeue the job
    return outcome
