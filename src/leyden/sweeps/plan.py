"""Planning of a sweep before any training: compose and check each job, find its run's folder, estimate its time.

jobs = plan(configs, progress)  # rejects the whole sweep if one job is invalid
estimate = Estimate.of(jobs)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from leyden.runs.records import Record, find, flat
from leyden.runs.run import COSMETIC, Run
from leyden.utils.errors import UserError
from leyden.utils.runtime import load_torch
from leyden.utils.text import and_more, plural

_MAX_LISTED = 5  # errors, and job numbers of each error, listed in a message
_NO_COST = (*COSMETIC, "seed", "experiment", "trainer.max_epochs")


@dataclass(frozen=True)
class Job:
    """One configuration of a sweep.

    Attributes:
        number: from 1.
        overrides: as typed.
        plain: the composed configuration.
        run: its run.
        known: the run's stamp when the sweep was started.
        force: whether a finished run is trained again.
        hidden: overrides of the sweep, not of the run: omitted from the command that repeats the run.
        own: the overrides that are not common to all jobs of the sweep.
    """

    number: int
    overrides: tuple[str, ...]
    plain: Mapping[str, Any]
    run: Run
    known: int
    force: bool
    hidden: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The overrides that distinguish it from the other jobs."""
        return " ".join(self.own or self.overrides) or "defaults"

    def is_done(self) -> bool:
        """Whether nothing is left to do: complete, or ended in any way since the sweep was started."""
        return self.run.is_done(self.known, self.force)


def plan(
    composed: Sequence[tuple[Sequence[str], Callable[[], Mapping[str, Any]]]],
    progress: Callable[[int], None],
) -> list[Job]:
    """Check every job and find its folder; of several jobs with the same run only the first is kept.

    Args:
        composed: (overrides, function that returns the plain configuration) of each.
        progress: called with the number of jobs checked.

    Raises:
        UserError: some are invalid; each error is listed, and nothing has been trained.
    """
    run_of = RunFolders()
    jobs: dict[Path, Job] = {}
    refused: dict[str, list[int]] = {}  # error message -> numbers of the jobs
    for number, (overrides, compose) in enumerate(composed, start=1):
        progress(number)
        try:
            plain = compose()
            run = run_of(plain, overrides)
            jobs.setdefault(
                run.folder, Job(number, tuple(overrides), plain, run, run.stamp(), bool(plain["force"]))
            )
        except UserError as error:
            refused.setdefault(str(error), []).append(number)
    if refused:
        raise UserError(_format_errors(refused, [overrides for overrides, _ in composed]))
    shared = set.intersection(*(set(job.overrides) for job in jobs.values()))
    return [replace(job, own=tuple(o for o in job.overrides if o not in shared)) for job in jobs.values()]


def _format_errors(refused: Mapping[str, Sequence[int]], overrides: Sequence[Sequence[str]]) -> str:
    """List each error once, with the numbers of its jobs, or with the distinguishing overrides of a single job."""
    shared = set.intersection(*(set(of_job) for of_job in overrides))
    lines = []
    for message, numbers in list(refused.items())[:_MAX_LISTED]:
        own = " ".join(override for override in overrides[numbers[0] - 1] if override not in shared)
        many = f"jobs {and_more(numbers, _MAX_LISTED)}"
        one = f"job {numbers[0]} ({own})" if own else f"job {numbers[0]}"
        lines.append(f"{many if len(numbers) > 1 else one}: {message}")
    if len(refused) > _MAX_LISTED:
        lines.append(f"and {plural(len(refused) - _MAX_LISTED, 'more error')}")
    count = sum(map(len, refused.values()))
    are_invalid = f"of {plural(len(overrides), 'job')} {'is' if count == 1 else 'are'} invalid"
    return "\n  ".join([f"{count:,} {are_invalid}, so none was started:", *lines])


class RunFolders:
    """Maps a configuration to its run. The data are fingerprinted once for all jobs that read the same data."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}

    def __call__(self, plain: Mapping[str, Any], overrides: Sequence[str]) -> Run:
        """Return the run of a composed configuration; overrides: of its command.

        Raises:
            UserError: the configuration is invalid.
        """
        load_torch()
        from leyden.config.validate import check
        from leyden.runs.fingerprint import run_of
        from leyden.training import build

        config = check(plain)
        key = json.dumps([config.data.source, config.cache], sort_keys=True, default=str)
        if key not in self._fingerprints:
            self._fingerprints[key] = build.experiment(config).data.fingerprint
        return run_of(config, self._fingerprints[key], overrides)


@dataclass(frozen=True)
class Estimate:
    """Expected training time of jobs, from similar finished runs.

    Attributes:
        seconds: by job number; jobs without an estimate are missing.
        runs: number of finished runs that the estimates are based on.
    """

    seconds: Mapping[int, float]
    runs: int

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> "Estimate":
        """Estimate from the finished runs in the jobs' folders: the median time per epoch of the most similar ones."""
        parents = sorted({job.run.folder.parent for job in jobs if job.run.folder.parent.is_dir()})
        found = [r for parent in parents for r in find(parent) if r.state == "complete" and r.seconds]
        estimates = {job.number: _seconds_of_similar(job.plain, found) for job in jobs} if found else {}
        return cls({number: e for number, e in estimates.items() if e is not None}, len(found))

    def total(self, jobs: Sequence[Job], at_once: int) -> float | None:
        """Return the expected seconds for these jobs with `at_once` in parallel; None if there is no estimate.

        Jobs without an estimate count as the mean of the others.
        """
        known = [self.seconds[job.number] for job in jobs if job.number in self.seconds]
        return sum(known) / len(known) * len(jobs) / max(1, at_once) if known else None


def _seconds_of_similar(plain: Mapping[str, Any], found: Sequence[Record]) -> float | None:
    """Return the median expected seconds over the runs that differ in the fewest keys."""
    own = _cost_keys(dict(flat(plain)))
    epochs = plain["trainer"].get("max_epochs", 1)
    distance: dict[int, list[float]] = {}
    for record in found:
        other = _cost_keys(record.keys)
        differing = sum(own.get(key) != other.get(key) for key in own.keys() | other.keys())
        per_epoch = (record.seconds or 0) / max(1, record.keys.get("trainer.max_epochs", 1))
        distance.setdefault(differing, []).append(per_epoch * epochs)
    return median(distance[min(distance)]) if distance else None


def _cost_keys(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in keys.items() if k not in _NO_COST}
