"""Hyperparameter search: `leyden train -m sweep=optuna ...`. Trials are ordinary jobs, requested one at a time.

A study belongs to one configuration and one search space, and is stored in `runs/studies/<name>-<fingerprint>`.
Launching it again resumes the trials of dead processes, runs the missing trials, and prints the summary.
"""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from leyden.config.compose import nested_keys_without_plus
from leyden.config.overrides import split_search_overrides
from leyden.metrics import higher_is_better
from leyden.reporting import search as reporting
from leyden.reporting.format import number as format_number
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
from leyden.utils.text import plural

# Keys that do not affect the results: a study continues whatever their values.
_COSMETIC = (*COSMETIC, "continue", "logger", "hydra", "sweep", "compute")
_POLL_SECONDS = 1.0  # between two checks for trials of other processes


class Launcher(Protocol):
    """The interface of Hydra's launcher that a search needs."""

    sweep: Sweep
    inner: Any  # the launcher that the user has configured, or None

    def compose(self, overrides: Sequence[str]) -> Mapping[str, Any]:
        """Return the plain configuration of a job."""


def search(config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> None:
    """Run the search that the node `sweep` of `config` describes.

    Args:
        config: composed without the searched keys.
        launcher: composes jobs, and has the sweep that trains them.
        arguments: the overrides of the command; those with several values or ranges are added to the space.

    Raises:
        UserError: the configuration is invalid; nothing has been written.
        KeyboardInterrupt: interrupted; running trials are resumed when it is launched again.
    """
    load_optuna()
    found = Search.of(config, launcher, arguments)
    if launcher.inner is None:
        launcher.sweep.verify_load([config.threads])
    if not (found.folder / "study.json").exists():  # else verified when it was started
        found.verify()
    found.announce()
    if not launcher.sweep.plan_only:
        found.run()


class Search:
    """One search and the jobs of its trials.

    Args:
        config: composed without the searched keys.
        settings: of the search.
        params: the searched keys with their ranges.
        fixed: overrides common to all trials.
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
        self.goals = settings.goals(str(config.monitor), _directions(config))
        verify_goals(settings, self.goals)
        self._run_of = RunFolders()

    @classmethod
    def of(cls, config: DictConfig, launcher: Launcher, arguments: Sequence[str]) -> "Search":
        """Create a search from the configuration and the command.

        Raises:
            UserError: one of them is invalid.
        """
        node: Any = OmegaConf.to_container(config.sweep, resolve=True)
        settings = Settings.of(node)
        fixed, more = split_search_overrides(arguments)
        if config.force:
            raise UserError(
                "force=true: a search never repeats a trial; start a new one with another sweep.study=NAME"
            )
        return cls(config, settings, {**settings.params, **more}, fixed, launcher)

    @property
    def folder(self) -> Path:
        """The study's folder; its fingerprint depends on the space, the goals and the base configuration."""
        kept = [str(key) for key in self._config if key not in _COSMETIC]
        base = OmegaConf.to_container(OmegaConf.masked_copy(self._config, kept), resolve=False)
        content = [self._params, [tuple(goal) for goal in self.goals], base]
        fingerprint = hashlib.blake2b(
            json.dumps(content, sort_keys=True, default=str).encode(), digest_size=5
        )
        name = self._settings.study or self._config.hydra.runtime.choices.get("sweep") or "search"
        return Path(self._config.runs).expanduser() / "studies" / f"{name}-{fingerprint.hexdigest()}"

    def verify(self) -> None:
        """Validate jobs at the corners of the space, so that an invalid key is reported before the first trial.

        Raises:
            UserError: a corner is invalid.
        """
        load_torch()
        from leyden.config.validate import check

        for values in self._space.probes():
            overrides = self._overrides(values)
            try:
                check(self._launcher.compose(overrides))
            except UserError as error:
                raise UserError(f"{error} (for {' '.join(map(_without_plus, overrides))})") from error

    def announce(self) -> None:
        """Print the number of trials: total, done and remaining."""
        known = reporting.load(self.folder) if (self.folder / "study.json").exists() else {"trials": []}
        done = sum(trial["state"] not in ("running", "waiting") for trial in known["trials"])
        points = self._space.size() if self._settings.sampler == "grid" else None
        total = min(self._settings.trials, points or self._settings.trials)
        at_once = f", {self._sweep.at_once} at once" if self._sweep.at_once > 1 else ""
        console.print(
            f"search ({', '.join(f'{goal.direction} {goal.name}' for goal in self.goals)}): "
            f"{plural(total, 'trial')} of {plural(len(self._space.parameters), 'parameter')} by "
            f"{self._settings.sampler}, pruner {self._settings.pruner}; {done} already done, "
            f"{max(0, total - done)} to do{at_once}; {self.folder}",
            markup=False,
        )

    # --- trials as jobs ---

    def run(self) -> None:
        """Run the remaining trials, wait for those of other processes, and print all."""
        epochs = int(OmegaConf.select(self._config, "trainer.max_epochs", default=1) or 1)
        self._study = Study(self.folder, self._settings, self._space, self.goals, epochs)
        self._sweep.on_end = self._print_summary
        try:
            self._stream()
            while self._study.elsewhere():
                time.sleep(_POLL_SECONDS)
                self._stream()
        finally:
            self._add_all_trials()
            self._study.write(importance=True)
            self._study.close()

    def _stream(self) -> None:
        self._sweep.stream(self._next, self._report, self._launcher.inner)

    def _next(self) -> Job | None:
        """Return the next trial's job; trials whose run is already done are reported immediately."""
        while (trial := self._study.ask()) is not None:
            job = self._job(trial.number, trial.values, trial.name)
            known = {"flags": list(self._sweep.flags), "words": list(job.overrides)}
            self._study.note(trial.number, folder=str(job.run.folder), **known)
            was_pruned = "pruned" in self._study.trials()[trial.number].user_attrs
            if not job.is_done() and not (was_pruned and read(job.run.folder).state == "pruned"):
                values = " ".join(job.overrides[len(self._fixed) :])
                console.rule(f"trial {job.number} of {self._study.total}: {values}", align="left")
                return job
            self._report(job)
        return None

    def _job(self, number: int, values: Values, trial: str) -> Job:
        overrides = self._overrides(values)
        plain = self._launcher.compose([*overrides, word("trial", trial)])
        own = tuple(map(_without_plus, overrides))
        run = self._run_of(plain, own)
        return Job(number, own, plain, run, run.stamp(), force=False, hidden=(word("trial", trial),))

    def _overrides(self, values: Values) -> list[str]:
        return [*self._fixed, *nested_keys_without_plus([word(key, value) for key, value in values.items()])]

    def _report(self, job: Job) -> None:
        """Report the outcome of a job to the study; an interrupted job stays open, to be resumed."""
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
            f"trial {job.number}: {state}{_format_outcome(self.goals, known, error)}",
            markup=False,
        )

    # --- the end ---

    def _add_all_trials(self) -> None:
        """Add the trials of earlier launches and of other processes to the sweep, for its table."""
        for trial in self._study.trials():
            folder, overrides = (trial.user_attrs.get(key) for key in ("folder", "words"))
            if folder is None:
                continue
            run = Run(Path(folder))
            self._sweep.jobs.setdefault(
                folder, Job(trial.number, tuple(overrides), {}, run, run.stamp(), False)
            )
            if trial.user_attrs.get("error") and read(run.folder).state == "new":
                self._sweep.refused[folder] = trial.user_attrs["error"]
        self._sweep.jobs = dict(sorted(self._sweep.jobs.items(), key=lambda item: item[1].number))

    def _print_summary(self) -> None:
        """Print the best trials with their commands, and write the plots; called after the table."""
        study = reporting.load(self.folder)
        console.print(reporting.format_best(study))
        written = reporting.write_figures(self.folder)
        if written:
            names = ", ".join(path.name for path in written)
            console.print(f"plots in {self.folder}: {names}")


def _directions(config: DictConfig) -> dict[str, bool]:
    """Whether higher is better, of each metric of validation: the task's, the user's own, those of an own module."""
    from leyden.config.validate import import_target, is_ours

    targets = {"task.target": config.task.target, "model.module": config.model.module}
    own = {path: node["_target_"] for path, node in targets.items() if not is_ours(node["_target_"])}
    if own:
        load_torch()
    task = import_target(config.task.target["_target_"], "task.target")
    found = {f"val/{name}": higher_is_better(name) for name in ("loss", *getattr(task, "metrics", ()))}
    found |= {
        f"val/{name}": bool(node.get("higher_is_better", True)) for name, node in config.metrics.items()
    }
    module = import_target(own["model.module"], "model.module") if "model.module" in own else None
    return found | dict.fromkeys(getattr(module, "lower_is_better", ()), False)


def _verify_space(settings: Settings, space: Space, fixed: Sequence[str]) -> None:
    if not space.parameters:
        raise UserError(
            "sweep: no parameters to search: add sweep.params in a YAML of your own (docs/search.md), or on the "
            "command line 'optimizer.lr=tag(log, interval(1e-4, 1e-1))' model.net.width=16,32"
        )
    given = {text.partition("=")[0].lstrip("+~") for text in fixed}
    twice = [p.key for p in space.parameters if p.key in given]
    if twice:
        raise UserError(f"{twice[0]} is both fixed on the command line and searched: remove one")
    for parameter in space.parameters:
        if settings.sampler == "grid" and parameter.count is None:
            raise UserError(f"sweep.params.{parameter.key}: sampler=grid needs a step or a list of choices")


def _curve(record: Record, monitor: str) -> dict[int, float]:
    return {int(row["epoch"]): row[monitor] for row in record.curves() if monitor in row}


def _without_plus(text: str) -> str:
    return text.lstrip("+")


def _format_outcome(goals: Sequence[Goal], values: Sequence[float], error: str | None) -> str:
    if error:
        return f": {error}"
    return "".join(
        f"  {goal.name} {format_number(value)}" for goal, value in zip(goals, values, strict=False)
    )
