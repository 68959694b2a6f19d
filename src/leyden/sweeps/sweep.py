"""A sweep, `leyden train -m`: plan the jobs of the sweeper, print the estimate, run the remaining jobs, print a table.

It is called by Leyden's Hydra launcher (hydra_plugins/leyden_sweeps), for its own grid and for any other sweeper.
Another launcher that the user has configured (Slurm, Ray) is given only the jobs that are not finished.
"""

import functools
import shlex
import time
from argparse import ArgumentError, ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from rich.progress import Progress

from leyden.config.compose import Plain, nested_keys_without_plus
from leyden.reporting.format import duration
from leyden.reporting.terminal.tables import jobs_table
from leyden.runs.records import Record, read
from leyden.runs.run import EXIT_STATUS
from leyden.sweeps.plan import Estimate, Job, plan
from leyden.sweeps.progress import ProgressDisplay
from leyden.sweeps.sequential import run_here
from leyden.sweeps.submitit_launcher import wait_for_each
from leyden.sweeps.worker_pool import Pool
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.runtime import available_cores, verify_cpu_load
from leyden.utils.text import plural
from leyden.utils.trust import FLAG

if TYPE_CHECKING:
    from leyden.training.job import Outcome


@dataclass
class Sweep:
    """One `leyden train -m`: its options and its jobs.

    Attributes:
        at_once: number of jobs trained in parallel on this machine.
        plan_only: whether to print the plan and stop.
        flags: arguments of the command that every job needs (--config-dir, --trust).
        train: trains one configuration: (plain, command, known) -> Outcome.
        elsewhere: the function that another launcher calls with a job's configuration, in another process.
        jobs: by run folder.
        refused: error messages of jobs that have no record in their run folder, by folder.
        started: time of the start (time.monotonic()).
        on_end: called after the final table.
        interrupted: whether it was interrupted before all trials of a search were requested.
    """

    at_once: int
    plan_only: bool
    flags: Sequence[str]
    train: Callable[[Mapping[str, Any], Sequence[str], int], "Outcome"]
    elsewhere: Callable[[DictConfig], "Outcome"]
    jobs: dict[str, Job] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    on_end: Callable[[], None] | None = None
    interrupted: bool = False

    def launch(
        self,
        overrides: Sequence[Sequence[str]],
        compose: Callable[[Sequence[str]], Plain],
        inner: Any,
        first: int,
    ) -> list[JobReturn]:
        """Run those of these jobs that are not finished.

        Args:
            overrides: of each job, in Hydra's syntax.
            compose: returns a job's plain configuration.
            inner: a launcher that the user has configured, or None for Leyden's own.
            first: the number of the first job.

        Raises:
            UserError: a job is invalid; nothing has been trained.
            KeyboardInterrupt: interrupted; the state of the running jobs is saved.
        """
        jobs = self._plan(overrides, compose)
        if inner is None:
            self.verify_load(job.plain["threads"] for job in jobs)
        self.jobs.update({str(job.run.folder): job for job in jobs})
        todo = [job for job in jobs if not job.is_done()]
        expected = self._announce(jobs, todo, 1 if inner else self.at_once)
        if todo and not self.plan_only:
            self._run(todo, inner, first, expected)
        return [self._return(job) for job in jobs]

    def stream(self, ask: Callable[[], Job | None], tell: Callable[[Job], None], inner: Any) -> None:
        """Run jobs that are requested one at a time, each when a worker is free, as a search does.

        Args:
            ask: returns the next job; None: there are no more. Called by one thread at a time.
            tell: called with each job that has ended, in whatever state, possibly from several threads.
            inner: a launcher that the user has configured: it is given `at_once` jobs per batch.

        Raises:
            KeyboardInterrupt: interrupted; the state of the running jobs is saved.
        """

        def next_job() -> Job | None:
            job = ask()
            if job is not None:
                self.jobs[str(job.run.folder)] = job
            return job

        def report(job: Job, status: str, message: str) -> None:
            self._record_outcome(job, status, message)
            tell(job)

        try:
            if inner is None and self.at_once > 1:
                Pool(self.at_once, self.command_of, report).stream(next_job)
                return
            while batch := list(islice(iter(next_job, None), self.at_once)):
                if inner is not None:
                    self._run(batch, inner, batch[0].number, None)
                elif self._train_here(batch[0]).status == "interrupted":
                    raise KeyboardInterrupt
                for job in batch:
                    tell(job)
        except KeyboardInterrupt:
            self.interrupted = True
            raise

    def verify_load(self, threads: Iterable[int | None]) -> None:
        """Refuse more jobs at once than this machine's cores can train.

        Args:
            threads: of each job; None: its share of the cores.

        Raises:
            UserError: they have more than four threads a core.
        """
        share = max(1, available_cores() // self.at_once)
        most = max((of_job or share for of_job in threads), default=share)
        if self.at_once > 1:
            verify_cpu_load(self.at_once * most, f"--jobs {self.at_once} with threads={most}")

    def _plan(
        self, overrides: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], Plain]
    ) -> list[Job]:
        composed = [(without_plus(of_job), functools.partial(compose, of_job)) for of_job in overrides]
        total = len(composed)
        with Progress(console=console, transient=True, disable=total < 20) as bar:
            task = bar.add_task("checking the jobs", total=total)
            return plan(composed, lambda n: bar.update(task, completed=n))

    def _announce(self, jobs: Sequence[Job], todo: Sequence[Job], at_once: int) -> float | None:
        """Print the number of jobs, how many are done, and the expected time; returns it in seconds, if known."""
        if not todo:
            console.print(f"{plural(len(jobs), 'job')}, all already done (force=true trains again)")
            return None
        estimate = Estimate.of(jobs)
        expected = estimate.total(todo, min(at_once, len(todo)))
        if expected is None:
            cost = "no estimate of the time: no similar run is finished"
        else:
            based_on = plural(estimate.runs, "finished run")
            cost = f"about {duration(expected)} of training, estimated from {based_on}"
        counts = Counter(job.run.state() for job in todo)
        states = ", ".join(f"{n} {state}" for state, n in counts.items())
        parallel = f", {at_once} at once" if at_once > 1 else ""
        done = len(jobs) - len(todo)
        console.print(
            f"{plural(len(jobs), 'job')}: {done} already done, {len(todo)} to do ({states}){parallel}; {cost}",
        )
        return expected

    def _run(self, todo: Sequence[Job], inner: Any, first: int, expected: float | None) -> None:
        if inner is not None:
            with ProgressDisplay(todo, expected):
                overrides = [nested_keys_without_plus([*job.overrides, *job.hidden]) for job in todo]
                with wait_for_each(inner):
                    inner.launch(overrides, first)
        elif self.at_once > 1:
            with ProgressDisplay(todo, expected):
                Pool(self.at_once, self.command_of, self._record_outcome).run(todo)
        else:
            run_here(todo, self._train_here, expected)

    def command_of(self, job: Job) -> list[str]:
        """Return the command that trains only this job."""
        return ["leyden", "train", *self.flags, *job.overrides]

    def _train_here(self, job: Job) -> "Outcome":
        outcome = self.train(job.plain, self.command_of(job), job.known)
        self._record_outcome(job, outcome.status, outcome.message)
        return outcome

    def _record_outcome(self, job: Job, status: str, message: str) -> None:
        """Print and keep the messages that are not stored in the run's folder."""
        if status == "refused" or (status == "interrupted" and message):
            self.refused[str(job.run.folder)] = message
            console.print(f"job {job.number} ({job.label}): {message}", style="red")

    def _return(self, job: Job) -> JobReturn:
        """Return a job's outcome to the sweeper: the record of the run. A failure is a result, not an exception."""
        job_return = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
        job_return.return_value = read(job.run.folder)
        return job_return

    def records(self) -> dict[str, Record]:
        """Read the current record of every job, by folder."""
        return {folder: read(job.run.folder) for folder, job in self.jobs.items()}

    def states(self, records: Mapping[str, Record]) -> dict[str, str]:
        """Return the state of every job, by folder."""
        found = {folder: record.state for folder, record in records.items()}
        refused = {folder: "refused" for folder in self.refused if found[folder] == "new"}
        return {**found, **refused}

    def status(self) -> int:
        """Return the exit status: the highest of the jobs'."""
        if self.plan_only or self.interrupted:
            return 130 if self.interrupted else 0
        states = self.states(self.records()).values()  # a new job was not started because of an interruption
        return max((EXIT_STATUS.get(state, EXIT_STATUS["interrupted"]) for state in states), default=0)

    def show(self) -> None:
        """Print the table of all jobs, and the commands that repeat the failed ones."""
        if not self.jobs:
            return
        records = self.records()
        states = self.states(records)
        bests = [record.best for record in records.values() if record.best]
        first: Mapping[str, Any] = bests[0] if bests else {"monitor": "metric", "higher_is_better": True}
        rows = [
            {
                "state": states[folder],
                "overrides": list(job.overrides),
                "metric": records[folder].best.get("value"),
                "seconds": records[folder].seconds,
                "folder": folder,
            }
            for folder, job in self.jobs.items()
        ]
        monitors = " or ".join(dict.fromkeys(best["monitor"] for best in bests)) or first["monitor"]
        console.print(jobs_table(rows, monitors, higher=first["higher_is_better"]))
        self._print_next_steps(states)
        if self.on_end is not None:
            self.on_end()

    def _print_next_steps(self, states: Mapping[str, str]) -> None:
        if self.plan_only:
            console.print(
                "this is only the plan: nothing has been trained; run the same command without --plan to train"
            )
            return
        failed = [job for folder, job in self.jobs.items() if states[folder] in ("failed", "refused")]
        for job in failed[:5]:
            console.print(f"to repeat:  {shlex.join(self.command_of(job))}")
        if len(failed) > 5:
            console.print(f"and {len(failed) - 5} more failed")
        done = sum(state in ("complete", "pruned") for state in states.values())
        seconds = duration(time.monotonic() - self.started)
        console.print(
            f"{done} of {plural(len(states), 'job')} complete, {seconds}; the same command runs only unfinished jobs"
        )


def options_of(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Parse Leyden's own flags, --trust, and --jobs and --plan of a sweep; returns them and the other arguments.

    Raises:
        UserError: --jobs is not a positive number, or one of them is used without -m.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--jobs", default="1")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument(FLAG, action="store_true")
    try:
        options, others = parser.parse_known_args(list(arguments))
    except ArgumentError as error:
        raise UserError(f"{error}, such as --jobs 2") from error
    if not options.jobs.isdecimal() or not int(options.jobs):
        raise UserError(
            f"--jobs {options.jobs}: expected the number of jobs to train at once, such as --jobs 2"
        )
    options.jobs = int(options.jobs)
    options.multirun = bool({"-m", "--multirun"} & set(others))
    if not options.multirun and (options.plan or options.jobs > 1):
        flag = "--plan" if options.plan else "--jobs"
        raise UserError(f"{flag} needs a sweep: add -m")
    return options, others


def without_plus(overrides: Sequence[str]) -> list[str]:
    """Return overrides without leading plus signs, as they are typed."""
    return [override.lstrip("+") for override in overrides]
