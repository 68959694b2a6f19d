"""A study: ask-and-tell of trials in Optuna's storage, by any number of concurrent processes.

No trial is lost and none is run twice. A trial belongs to the process that asked for it, which holds a lock while it
is alive. A trial of a dead process keeps its number and its parameters, so its run is the same one and resumes; `ask`
locks the study, so that two processes never take the same trial.
"""

import functools
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leyden.reporting.search import SCHEMA
from leyden.tuning.optuna_backend import load_optuna, pruner_of, sampler_of, storage_of
from leyden.tuning.process_locks import ProcessLocks
from leyden.tuning.settings import Goal, Settings
from leyden.tuning.space import Space, Values
from leyden.tuning.trial import name_of
from leyden.utils.files import cannot_write, verify_plain, write_json

_LEAST = 4  # complete trials needed for parameter importance


@dataclass(frozen=True)
class TrialRequest:
    """A trial to run: its number, the values to run it with, and the value of the run's key `trial`."""

    number: int
    values: Values
    name: str


class Study:
    """One study in its folder: study.db (or the given storage), study.json, locks.

    Args:
        folder: folder of the study, created if needed.
        settings: settings of the search.
        space: the search space.
        goals: the objectives.
        epochs: epochs of a complete run, for Hyperband.

    Raises:
        UserError: Optuna is not installed, or the storage cannot be opened.
    """

    def __init__(
        self, folder: Path, settings: Settings, space: Space, goals: Sequence[Goal], epochs: int
    ) -> None:
        optuna = load_optuna()
        self.folder, self.settings, self.space, self.goals = folder, settings, space, goals
        self.url = settings.storage or f"sqlite:///{folder.resolve() / 'study.db'}"
        verify_plain(folder)  # SQLite would make its tables through a link
        try:
            self._locks = ProcessLocks(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error
        with self._locks.alone():
            self._storage = storage_of(self.url)
            self._study = optuna.create_study(
                study_name=folder.name,
                storage=self._storage,
                directions=[goal.direction for goal in goals],
                load_if_exists=True,
            )
            pruning = {"name": settings.pruner, "startup": settings.startup, "warmup": settings.warmup}
            self._study.set_user_attr("pruning", {**pruning, "epochs": epochs})
        self._study.pruner = pruner_of({**pruning, "epochs": epochs})
        self._states = optuna.trial.TrialState
        self._trial_class = optuna.trial.Trial

    def close(self) -> None:
        """Release the unfinished trials of this process, for another process to resume."""
        self._locks.close()

    # --- ask and tell ---

    def ask(self) -> TrialRequest | None:
        """The next trial: an abandoned one of a dead process, else a new one; None if all trials are taken."""
        with self._locks.alone():
            trials = self.trials()
            abandoned = next((t for t in trials if self._is_abandoned(t)), None)
            if abandoned is None and len(trials) >= self.total:
                return None
            number = len(trials) if abandoned is None else abandoned.number
            self._study.sampler = self._sampler(number)
            trial = (
                self._study.ask()
                if abandoned is None
                else self._trial_class(self._study, abandoned._trial_id)
            )
            trial.set_user_attr("owner", self._locks.name)
            values = self.space.draw(trial)
            trial.set_user_attr("params", values)
            return TrialRequest(number, values, name_of(self.url, self.folder.name, number))

    def _is_abandoned(self, trial: Any) -> bool:
        """Whether the trial is unfinished and its process is dead."""
        return not trial.state.is_finished() and not self._locks.alive(trial.user_attrs.get("owner", ""))

    def note(self, number: int, **facts: Any) -> None:
        """Store attributes of a trial: folder and words of its run, seconds, error."""
        trial = self.trials()[number]
        for key, value in facts.items():
            self._storage.set_trial_user_attr(trial._trial_id, key, value)

    def tell(
        self, number: int, state: str, values: Sequence[float] = (), curve: Mapping[int, float] = {}
    ) -> None:
        """Store the outcome of a trial.

        Args:
            number: number of the trial.
            state: "complete", "pruned" or "failed".
            values: values of the objectives, of a complete trial.
            curve: epoch -> monitored metric, for epochs not reported by the run (such as a run that existed before).
        """
        kind = {"complete": self._states.COMPLETE, "pruned": self._states.PRUNED, "failed": self._states.FAIL}
        with self._locks.alone():
            trial = self.trials()[number]
            for epoch in curve.keys() - trial.intermediate_values.keys() if len(self.goals) == 1 else ():
                self._storage.set_trial_intermediate_value(trial._trial_id, epoch, curve[epoch])
            self._study.sampler = self._sampler(number)
            with suppress(RuntimeError):  # the grid sampler tries to stop Optuna's own loop
                self._study.tell(number, list(values) or None, state=kind[state], skip_if_finished=True)
            self.write()

    def _sampler(self, number: int) -> Any:
        return sampler_of(self.settings.sampler, self.settings.seed, self.settings.startup, number)

    # --- state ---

    @property
    def total(self) -> int:
        """Total number of trials: at most the number of points of a grid."""
        points = self.space.size() if self.settings.sampler == "grid" else None
        return min(self.settings.trials, points or self.settings.trials)

    def trials(self) -> list[Any]:
        """Optuna's frozen trials, in order of their numbers."""
        found: list[Any] = self._study.get_trials(deepcopy=False)
        return found

    def elsewhere(self) -> bool:
        """Whether another process, alive or dead, has an unfinished trial."""
        return any(
            not t.state.is_finished() and t.user_attrs.get("owner") != self._locks.name for t in self.trials()
        )

    def best(self) -> list[Any]:
        """The best trial; with several objectives, the Pareto-optimal trials."""
        if not any(t.state == self._states.COMPLETE for t in self.trials()):
            return []
        return [self._study.best_trial] if len(self.goals) == 1 else list(self._study.best_trials)

    # --- study.json ---

    def write(self, importance: bool = False) -> None:
        """Write study.json, which holds all results without Optuna; `importance`: include parameter importance."""
        write_json(
            self.folder / "study.json",
            {
                "schema": SCHEMA,
                "name": self.folder.name,
                "storage": self.url,
                "sampler": self.settings.sampler,
                "pruner": self.settings.pruner,
                "seed": self.settings.seed,
                "total": self.total,
                "goals": [{"name": goal.name, "direction": goal.direction} for goal in self.goals],
                "params": {p.key: {"log": bool(getattr(p, "log", False))} for p in self.space.parameters},
                "best": [trial.number for trial in self.best()],
                "importance": self._importance() if importance else {},
                "trials": [_to_json(trial) for trial in self.trials()],
            },
        )

    def _importance(self) -> dict[str, dict[str, float]]:
        """objective -> parameter -> importance (PED-ANOVA) over the complete trials."""
        complete = [t for t in self.trials() if t.state == self._states.COMPLETE]
        varied = [p.key for p in self.space.parameters if p.count != 1]
        shared = [key for key in varied if all(key in t.params for t in complete)]
        found = {}
        for index, goal in enumerate(self.goals):
            sign = -1 if goal.direction == "maximize" else 1  # importance for the lowest values
            lowest = functools.partial(_signed, index, sign)
            if len(complete) >= _LEAST and len({t.values[index] for t in complete}) > 1 and shared:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that targets are minimised
                    found[goal.name] = load_optuna().importance.get_param_importances(
                        self._study, params=shared, target=lowest
                    )
        return found


def _signed(index: int, sign: int, trial: Any) -> float:
    return float(sign * trial.values[index])


def _to_json(trial: Any) -> dict[str, Any]:
    """A trial as an object of study.json."""
    states = {"FAIL": "failed"}
    facts = {key: trial.user_attrs.get(key) for key in ("folder", "flags", "words", "seconds", "error")}
    return {
        "number": trial.number,
        "state": states.get(trial.state.name, trial.state.name.lower()),
        "params": trial.user_attrs.get("params", {}),
        "values": trial.values if trial.state.name == "COMPLETE" else None,
        "curve": {str(epoch): value for epoch, value in sorted(trial.intermediate_values.items())},
        **facts,
    }
