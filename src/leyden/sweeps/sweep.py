"""What `leyden train -m` does with the jobs that a sweeper hands it: plan, say what is ahead, do the rest, show all.

The engine is Hydra's launcher (hydra_plugins/leyden_sweeps), for its own grid and for any other sweeper. Another
launcher that the user has chosen (Slurm, Ray) is given the jobs that are left, and nothing of the finished ones.
"""

import functools
import shlex
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from rich.progress import Progress

from leyden.config.compose import Plain, nested_keys_without_plus
from leyden.reporting.format import duration, plural
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

if TYPE_CHECKING:
    from leyden.training.job import Outcome


@dataclass
class Sweep:
    """One `leyden train -m`: its options, and every job that it has been handed.

    Attributes:
        at_once: jobs trained at the same time on this machine.
        plan_only: print what would be done, and stop.
        flags: the words of the command that every job needs (--config-dir).
        train: trains one configuration: (plain, command, known) -> Outcome.
        elsewhere: the function that a foreign launcher calls with a job's configuration, in a process of its own.
    """

    at_once: int
    plan_only: bool
    flags: Sequence[str]
    train: Callable[[Mapping[str, Any], Sequence[str], int], "Outcome"]
    elsewhere: Callable[[DictConfig], "Outcome"]
    jobs: dict[str, Job] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # folder -> why there is no record of it
    started: float = field(default_factory=time.monotonic)
    closing: Callable[[], None] | None = None  # called after the table
    interrupted: bool = False  # interrupted with jobs that nobody had asked for yet

    def launch(
        self,
        jobs_words: Sequence[Sequence[str]],
        compose: Callable[[Sequence[str]], Plain],
        inner: Any,
        first: int,
    ) -> list[JobReturn]:
        """Do what is left of these jobs.

        Args:
            jobs_words: the overrides of each, as Hydra takes them.
            compose: gives their configuration.
            inner: a launcher that the user has chosen, or None for Leyden's own.
            first: the number of the first job.

        Raises:
            UserError: a job is a mistake; nothing has been trained.
            KeyboardInterrupt: interrupted; the state of the jobs at work is saved.
        """
        jobs = self._plan(jobs_words, compose)
        self.jobs.update({str(job.run.folder): job for job in jobs})
        todo = [job for job in jobs if not job.settled()]
        expected = self._announce(jobs, todo, 1 if inner else self.at_once)
        if todo and not self.plan_only:
            self._do(todo, inner, first, expected)
        return [self._return(job) for job in jobs]

    def stream(self, ask: Callable[[], Job | None], tell: Callable[[Job], None], inner: Any) -> None:
        """Do jobs that are asked for one at a time, each when there is a place for it, as a search does.

        Args:
            ask: the next job; None: there is none to begin. Called by one thread at a time.
            tell: called with each job that has ended, however, perhaps from several threads.
            inner: a launcher that the user has chosen: it is given `at_once` in a batch.

        Raises:
            KeyboardInterrupt: interrupted; the state of the jobs at work is saved.
        """

        def following() -> Job | None:
            job = ask()
            if job is not None:
                self.jobs[str(job.run.folder)] = job
            return job

        def told(job: Job, status: str, message: str) -> None:
            self._told(job, status, message)
            tell(job)

        try:
            if inner is None and self.at_once > 1:
                Pool(self.at_once, self.command_of, told).stream(following)
                return
            while batch := list(islice(iter(following, None), self.at_once)):
                if inner is not None:
                    self._do(batch, inner, batch[0].number, None)
                elif self._train_here(batch[0]).status == "interrupted":
                    raise KeyboardInterrupt
                for job in batch:
                    tell(job)
        except KeyboardInterrupt:
            self.interrupted = True
            raise

    def _plan(
        self, jobs_words: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], Plain]
    ) -> list[Job]:
        composed = [(without_plus(words), functools.partial(compose, words)) for words in jobs_words]
        total = len(composed)
        with Progress(console=console, transient=True, disable=total < 20) as bar:
            task = bar.add_task("checking the jobs", total=total)
            return plan(composed, lambda n: bar.update(task, completed=n))

    def _announce(self, jobs: Sequence[Job], todo: Sequence[Job], at_once: int) -> float | None:
        """Say how many jobs there are, how many are done, and how long the rest will take."""
        if not todo:
            console.print(f"{plural(len(jobs), 'job')}, all done before (force=true trains again)")
            return None
        estimate = Estimate.of(jobs)
        expected = estimate.total(todo, min(at_once, len(todo)))
        if expected is None:
            cost = "no finished run like these to tell how long they take"
        else:
            like = plural(estimate.runs, "finished run")
            cost = f"about {duration(expected)} of training, to judge by {like}"
        again = Counter(job.run.state() for job in todo)
        states = ", ".join(f"{n} {state}" for state, n in again.items())
        many = f", {at_once} at once" if at_once > 1 else ""
        done = len(jobs) - len(todo)
        console.print(
            f"{plural(len(jobs), 'job')}: {done} done before, {len(todo)} to do ({states}){many}; {cost}",
            soft_wrap=True,
        )
        return expected

    def _do(self, todo: Sequence[Job], inner: Any, first: int, expected: float | None) -> None:
        if inner is not None:
            with ProgressDisplay(todo, expected):
                words = [nested_keys_without_plus([*job.overrides, *job.hidden]) for job in todo]
                with wait_for_each(inner):
                    inner.launch(words, first)
        elif self.at_once > 1:
            with ProgressDisplay(todo, expected):
                Pool(self.at_once, self.command_of, self._told).run(todo)
        else:
            run_here(todo, self._train_here, expected)

    def command_of(self, job: Job) -> list[str]:
        """What trains this job alone."""
        return ["leyden", "train", *self.flags, *job.overrides]

    def _train_here(self, job: Job) -> "Outcome":
        outcome = self.train(job.plain, self.command_of(job), job.known)
        self._told(job, outcome.status, outcome.message)
        return outcome

    def _told(self, job: Job, status: str, message: str) -> None:
        """Keep what a run's folder does not say."""
        if status == "refused" or (status == "interrupted" and message):
            self.refused[str(job.run.folder)] = message
            console.print(f"job {job.number} ({job.words}): {message}", style="red", markup=False)

    def _return(self, job: Job) -> JobReturn:
        """What a sweeper is told: the record of the run. A failure is a result, not an exception."""
        done = JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED)
        done.return_value = read(job.run.folder)
        return done

    def records(self) -> dict[str, Record]:
        """folder -> what is recorded now of every job."""
        return {folder: read(job.run.folder) for folder, job in self.jobs.items()}

    def states(self, records: Mapping[str, Record]) -> dict[str, str]:
        """folder -> state of every job."""
        found = {folder: record.state for folder, record in records.items()}
        mistakes = {folder: "refused" for folder in self.refused if found[folder] == "new"}
        return {**found, **mistakes}

    def status(self) -> int:
        """The exit status: the gravest of the jobs'."""
        if self.plan_only or self.interrupted:
            return 130 if self.interrupted else 0
        states = self.states(self.records()).values()  # one that has not begun was cut off by an interruption
        return max((EXIT_STATUS.get(state, EXIT_STATUS["interrupted"]) for state in states), default=0)

    def show(self) -> None:
        """The table of all jobs, with the commands that repeat the failed ones."""
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
        self._advise(states)
        if self.closing is not None:
            self.closing()

    def _advise(self, states: Mapping[str, str]) -> None:
        if self.plan_only:
            console.print(
                "this is the plan: nothing has been trained; the same command without --plan does it"
            )
            return
        broken = [job for folder, job in self.jobs.items() if states[folder] in ("failed", "refused")]
        for job in broken[:5]:
            console.print(f"again:  {shlex.join(self.command_of(job))}", soft_wrap=True, markup=False)
        if len(broken) > 5:
            console.print(f"and {len(broken) - 5} more failed")
        done = sum(state in ("complete", "pruned") for state in states.values())
        seconds = duration(time.monotonic() - self.started)
        console.print(
            f"{done} of {len(states)} jobs complete, {seconds}; the same command does only what is left"
        )


def options_of(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Leyden's own flags of a sweep, --jobs and --plan, and the other words.

    Raises:
        UserError: --jobs is no number of jobs, or either without -m.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--jobs", default="1")
    parser.add_argument("--plan", action="store_true")
    options, words = parser.parse_known_args(list(arguments))
    if not options.jobs.isdecimal() or not int(options.jobs):
        raise UserError(f"--jobs {options.jobs}: expected how many jobs to train at once, such as --jobs 2")
    options.jobs = int(options.jobs)
    options.multirun = bool({"-m", "--multirun"} & set(words))
    if not options.multirun and (options.plan or options.jobs > 1):
        flag = "--plan" if options.plan else "--jobs"
        raise UserError(f"{flag} belongs to a sweep: add -m")
    return options, words


def without_plus(words: Sequence[str]) -> list[str]:
    """Overrides as they are typed."""
    return [word.lstrip("+") for word in words]
