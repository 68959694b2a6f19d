"""A search: `leyden train -m sweep=optuna ...`. Trials are ordinary jobs, asked for one at a time from a study.

The study lies under the runs' folder and belongs to one configuration and one space: `runs/studies/<name>-<digits>`.
Launched again, it takes up the trials of dead processes, does what is missing, and reports.
"""

import hashlib
import json
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from leyden.config.compose import nested_keys_without_plus
from leyden.config.overrides import split_search_overrides
from leyden.reporting import search as reporting
from leyden.reporting.format import number as in_words
from leyden.reporting.format import plural
from leyden.runs.records import Record, read
from leyden.runs.run import COSMETIC, Run
from leyden.sweeps.plan import Job, RunFolders
from leyden.sweeps.sweep import Sweep
from leyden.tuning.optuna_backend import load_optuna
from leyden.tuning.parameters import word
from leyden.tuning.settings import Goal, Settings, verify_goals
from leyden.tuning.space import Space, Values
from leyden.tuning.study import Study
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.runtime import load_torch

# Of a configuration, what says nothing of what is computed: a study goes on whatever these are.
_COSMETIC = (*COSMETIC, "logger", "hydra", "sweep")
_EVERY = 1.0  # seconds between two looks at trials of other processes


class Launcher(Protocol):
    """What a search needs of Hydra's launcher."""

    sweep: Sweep
    inner: Any  # a launcher that the user has chosen, or None

    def compose(self, words: Sequence[str]) -> Mapping[str, Any]:
        """The plain configuration of a job."""


def search(config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> None:
    """Do the search that the node `sweep` of `config` describes.

    Args:
        config: composed without the keys that are searched.
        launcher: composes jobs, and has the sweep that trains them.
        arguments: the overrides of the command; those with several values or ranges join the space.

    Raises:
        UserError: something in it is a mistake; nothing has been written.
        KeyboardInterrupt: interrupted; the trials at work are taken up when it is launched again.
    """
    load_optuna()
    found = Search.of(config, launcher, arguments)
    if not (found.folder / "study.json").exists():  # else verified when it began
        found.verify()
    found.announce()
    if not launcher.sweep.plan_only:
        found.run()


class Search:
    """One search and the jobs of its trials.

    Args:
        config: composed without the keys that are searched.
        settings: of the search.
        params: what is searched.
        fixed: the overrides that all trials share.
        launcher: composes jobs, and has the sweep that trains them.
    """

    def __init__(
        self,
        config: DictConfig,
        settings: Settings,
        params: Mapping[str, Any],
        fixed: Sequence[str],
        launcher: Launcher,
    ) -> None:
        self._config, self._settings, self._fixed = config, settings, tuple(fixed)
        self._params, self._space = params, Space.of(params)
        _verify_space(settings, self._space, fixed)
        self._launcher, self._sweep = launcher, launcher.sweep
        self.goals = settings.goals(str(config.monitor))
        verify_goals(settings, self.goals)
        self._places = RunFolders()

    @classmethod
    def of(cls, config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> "Search":
        """Read the configuration and the command.

        Raises:
            UserError: something in them is a mistake.
        """
        node: Any = OmegaConf.to_container(config.sweep, resolve=True)
        settings = Settings.of(node)
        fixed, more = split_search_overrides(arguments)
        if config.force:
            raise UserError(
                "force=true: a search does no trial twice; another sweep.study=NAME begins a new one"
            )
        return cls(config, settings, {**settings.params, **more}, fixed, launcher)

    @property
    def folder(self) -> Path:
        """Of the study. Its digits change with the space, the goals and the configuration that is searched around."""
        kept = [str(key) for key in self._config if key not in _COSMETIC]
        around = OmegaConf.to_container(OmegaConf.masked_copy(self._config, kept), resolve=False)
        content = [self._params, [tuple(goal) for goal in self.goals], around]
        digits = hashlib.blake2b(json.dumps(content, sort_keys=True, default=str).encode(), digest_size=5)
        name = self._settings.study or self._config.hydra.runtime.choices.get("sweep") or "search"
        return Path(self._config.runs).expanduser() / "studies" / f"{name}-{digits.hexdigest()}"

    def verify(self) -> None:
        """Check the space's corners as jobs: an unknown key is told now, not by the trial that first has it.

        Raises:
            UserError: a corner cannot be run.
        """
        load_torch()
        from leyden.config.validate import check

        for values in self._space.probes():
            words = self._words(values)
            try:
                check(self._launcher.compose(words))
            except UserError as error:
                raise UserError(f"{error} (in the search's {' '.join(map(_bare, words))})") from error

    def announce(self) -> None:
        """How many trials, how many are done."""
        known = reporting.load(self.folder) if (self.folder / "study.json").exists() else {"trials": []}
        done = sum(trial["state"] not in ("running", "waiting") for trial in known["trials"])
        points = self._space.size() if self._settings.sampler == "grid" else None
        total = min(self._settings.trials, points or self._settings.trials)
        at_once = f", {self._sweep.at_once} at once" if self._sweep.at_once > 1 else ""
        console.print(
            f"search ({', '.join(f'{goal.direction} {goal.name}' for goal in self.goals)}): "
            f"{plural(total, 'trial')} of {plural(len(self._space.parameters), 'parameter')} by "
            f"{self._settings.sampler}, pruner {self._settings.pruner}; {done} done before, "
            f"{max(0, total - done)} to do{at_once}; {self.folder}",
            soft_wrap=True,
            markup=False,
        )

    # --- trials as jobs ---

    def run(self) -> None:
        """Do what is left, wait for what other processes do, and show all."""
        epochs = int(OmegaConf.select(self._config, "trainer.max_epochs", default=1) or 1)
        self._study = Study(self.folder, self._settings, self._space, self.goals, epochs)
        self._sweep.closing = self._close
        try:
            self._stream()
            while self._study.elsewhere():
                time.sleep(_EVERY)
                self._stream()
        finally:
            self._show_all()
            self._study.write(importance=True)
            self._study.close()

    def _stream(self) -> None:
        self._sweep.stream(self._next, self._tell, self._launcher.inner)

    def _next(self) -> Job | None:
        """The next trial's job; those whose run is there already are told at once."""
        while (asked := self._study.ask()) is not None:
            job = self._job(asked.number, asked.values, asked.name)
            self._study.note(asked.number, folder=str(job.run.folder), words=list(job.overrides))
            said_stop = "pruned" in self._study.trials()[asked.number].user_attrs
            if not job.settled() and not (said_stop and read(job.run.folder).state == "pruned"):
                values = " ".join(job.overrides[len(self._fixed) :])
                console.rule(f"trial {job.number} of {self._study.total}: {values}", align="left")
                return job
            self._tell(job)
        return None

    def _job(self, number: int, values: Values, trial: str) -> Job:
        words = self._words(values)
        plain = self._launcher.compose([*words, word("trial", trial)])
        run = self._places(plain)
        own = tuple(map(_bare, words))
        return Job(number, own, plain, run, run.stamp(), force=False, hidden=(word("trial", trial),))

    def _words(self, values: Values) -> list[str]:
        return [*self._fixed, *nested_keys_without_plus([word(key, value) for key, value in values.items()])]

    def _tell(self, job: Job) -> None:
        """What became of a job; one that was broken off stays the study's, to be taken up again."""
        record = read(job.run.folder)
        refused = self._sweep.refused.get(str(job.run.folder))
        state = "failed" if refused and record.state == "new" else record.state
        if state not in ("complete", "pruned", "failed"):
            return
        values = [goal.of(record) for goal in self.goals] if state == "complete" else []
        error = refused or (record.result.get("error") or {}).get("message")
        if any(value is None or not math.isfinite(value) for value in values):
            state, error = "failed", f"no value of {', '.join(goal.name for goal in self.goals)}"
        facts = {"seconds": record.seconds, "error": error}
        self._study.note(job.number, **facts)
        known = [value for value in values if value is not None and state == "complete"]
        self._study.tell(job.number, state, known, _curve(record, str(self._config.monitor)))
        console.print(
            f"trial {job.number}: {state}{_said(self.goals, known, error)}", soft_wrap=True, markup=False
        )

    # --- the end ---

    def _show_all(self) -> None:
        """The sweep's table shows the trials of earlier launches and other processes, too."""
        for trial in self._study.trials():
            folder, words = (trial.user_attrs.get(key) for key in ("folder", "words"))
            if folder is None:
                continue
            run = Run(Path(folder))
            self._sweep.jobs.setdefault(folder, Job(trial.number, tuple(words), {}, run, run.stamp(), False))
            if trial.user_attrs.get("error") and read(run.folder).state == "new":
                self._sweep.refused[folder] = trial.user_attrs["error"]
        self._sweep.jobs = dict(sorted(self._sweep.jobs.items(), key=lambda item: item[1].number))

    def _close(self) -> None:
        """After the table: the best trials, the command for each, the plots."""
        known = reporting.load(self.folder)
        console.print(
            reporting.best_words(known, lambda words: self._command(words)), soft_wrap=True, markup=False
        )
        written = reporting.write_figures(self.folder)
        if written:
            names = ", ".join(path.name for path in written)
            console.print(f"plots in {self.folder}: {names}", soft_wrap=True, markup=False)

    def _command(self, words: Sequence[str]) -> str:
        return shlex.join(["leyden", "train", *self._sweep.flags, *words])


def _verify_space(settings: Settings, space: Space, fixed: Sequence[str]) -> None:
    if not space.parameters:
        raise UserError(
            "sweep: nothing to search: add sweep.params in a YAML of your own (docs/search.md), or on the command "
            "line 'optimizer.lr=tag(log, interval(1e-4, 1e-1))' model.net.width=16,32"
        )
    given = {text.partition("=")[0].lstrip("+~") for text in fixed}
    twice = [p.key for p in space.parameters if p.key in given]
    if twice:
        raise UserError(f"{twice[0]} is given on the command line and searched: leave one out")
    for parameter in space.parameters:
        if settings.sampler == "grid" and parameter.count is None:
            raise UserError(f"sweep.params.{parameter.key}: sampler=grid needs a step, or choices")


def _curve(record: Record, monitor: str) -> dict[int, float]:
    return {int(row["epoch"]): row[monitor] for row in record.curves() if monitor in row}


def _bare(text: str) -> str:
    return text.lstrip("+")


def _said(goals: Sequence[Goal], values: Sequence[float], error: str | None) -> str:
    if error:
        return f": {error}"
    return "".join(f"  {goal.name} {in_words(value)}" for goal, value in zip(goals, values, strict=False))
