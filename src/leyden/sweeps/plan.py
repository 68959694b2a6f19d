"""The jobs of a sweep before any is trained: each composed, checked, its run's folder found, its time estimated.

jobs = plan(configs)            # refuses the whole sweep if one job is a mistake
estimate = Estimate.of(jobs)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from leyden.reporting.format import plural
from leyden.runs.records import Record, find, flat
from leyden.runs.run import COSMETIC, Run
from leyden.utils.errors import UserError
from leyden.utils.runtime import load_torch

_SHOWN = 5  # mistakes, and numbers of jobs that have one, are named up to so many
_NO_COST = (*COSMETIC, "seed", "experiment", "trainer.max_epochs")


@dataclass(frozen=True)
class Job:
    """One configuration of a sweep.

    Attributes:
        number: its place, from 1.
        overrides: as typed.
        plain: the composed configuration.
        run: its folder.
        known: the stamp of what the folder held when the sweep began.
        force: whether a finished run is trained again.
        hidden: overrides that belong to the sweep, not to the run: they are in no command that repeats it.
        own: those of the overrides that not every job of the sweep has.
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
    def words(self) -> str:
        """What sets it apart."""
        return " ".join(self.own or self.overrides) or "defaults"

    def settled(self) -> bool:
        """Whether nothing is left to do: complete, or ended otherwise since the sweep began."""
        return self.run.settled(self.known, self.force)


def plan(
    composed: Sequence[tuple[Sequence[str], Callable[[], Mapping[str, Any]]]],
    progress: Callable[[int], None],
) -> list[Job]:
    """Check every job and find its folder; of jobs that are one run the first alone is kept.

    Args:
        composed: (overrides, what gives the plain configuration) of each.
        progress: told how many are done.

    Raises:
        UserError: some are mistakes; each is named, and nothing has been trained.
    """
    place_of = RunFolders()
    jobs: dict[Path, Job] = {}
    refused: dict[str, list[int]] = {}  # message -> the jobs that it is said of
    for number, (overrides, made) in enumerate(composed, start=1):
        progress(number)
        try:
            plain = made()
            run = place_of(plain)
            jobs.setdefault(
                run.folder, Job(number, tuple(overrides), plain, run, run.stamp(), bool(plain["force"]))
            )
        except UserError as error:
            refused.setdefault(str(error), []).append(number)
    if refused:
        raise UserError(_refusal(refused, [overrides for overrides, _ in composed]))
    shared = set.intersection(*(set(job.overrides) for job in jobs.values()))
    return [replace(job, own=tuple(w for w in job.overrides if w not in shared)) for job in jobs.values()]


def _refusal(refused: Mapping[str, Sequence[int]], overrides: Sequence[Sequence[str]]) -> str:
    """Each mistake once, with the jobs that have it, and what sets those apart that are alone with theirs."""
    shared = set.intersection(*(set(words) for words in overrides))
    lines = []
    for message, numbers in list(refused.items())[:_SHOWN]:
        own = " ".join(word for word in overrides[numbers[0] - 1] if word not in shared)
        more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
        many = f"jobs {', '.join(map(str, numbers[:_SHOWN]))}{more}"
        one = f"job {numbers[0]} ({own})" if own else f"job {numbers[0]}"
        lines.append(f"{many if len(numbers) > 1 else one}: {message}")
    if len(refused) > _SHOWN:
        lines.append(f"and {plural(len(refused) - _SHOWN, 'more mistake')}")
    count = sum(map(len, refused.values()))
    return "\n  ".join([f"{count} of {len(overrides)} jobs cannot be run, so none has been:", *lines])


class RunFolders:
    """A configuration's run. The content of the data is looked at once for all jobs that read the same."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}

    def __call__(self, plain: Mapping[str, Any]) -> Run:
        """The run of a composed configuration; UserError if it is a mistake."""
        load_torch()
        from leyden.config.validate import check
        from leyden.runs.fingerprint import run_of
        from leyden.training import build

        config = check(plain)
        key = json.dumps([config.data.source, config.cache], sort_keys=True, default=str)
        if key not in self._fingerprints:
            self._fingerprints[key] = build.experiment(config).data.fingerprint
        return run_of(config, self._fingerprints[key])


@dataclass(frozen=True)
class Estimate:
    """Seconds that each job is expected to train, from finished runs like it; None where there is none."""

    seconds: Mapping[int, float]
    runs: int

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> "Estimate":
        """From the finished runs in the jobs' own folders: of those that differ least, the median a training epoch."""
        parents = sorted({job.run.folder.parent for job in jobs if job.run.folder.parent.is_dir()})
        found = [r for parent in parents for r in find(parent) if r.state == "complete" and r.seconds]
        guesses = {job.number: _like(job.plain, found) for job in jobs} if found else {}
        return cls({number: guess for number, guess in guesses.items() if guess is not None}, len(found))

    def total(self, jobs: Sequence[Job], at_once: int) -> float | None:
        """Seconds for these jobs, so many at once; unknown jobs count like the others' mean."""
        known = [self.seconds[job.number] for job in jobs if job.number in self.seconds]
        return sum(known) / len(known) * len(jobs) / max(1, at_once) if known else None


def _like(plain: Mapping[str, Any], found: Sequence[Record]) -> float | None:
    own = _costly(dict(flat(plain)))
    epochs = plain["trainer"].get("max_epochs", 1)
    distance: dict[int, list[float]] = {}
    for record in found:
        other = _costly(record.keys)
        apart = sum(own.get(key) != other.get(key) for key in own.keys() | other.keys())
        per_epoch = (record.seconds or 0) / max(1, record.keys.get("trainer.max_epochs", 1))
        distance.setdefault(apart, []).append(per_epoch * epochs)
    return median(distance[min(distance)]) if distance else None


def _costly(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in keys.items() if k not in _NO_COST}
