"""A trial from within its run, in any process: report a value, ask whether to prune.

The root key `trial` of a run's configuration is "STORAGE#STUDY#NUMBER". `words_of` removes it from a command, so that
the command reproduces the run without the study.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leyden.tuning.optuna_backend import load_optuna, pruner_of, storage_of
from leyden.utils.errors import UserError

_KEY = "trial"


def name_of(storage: str, study: str, number: int) -> str:
    """The value of the key `trial`: "STORAGE#STUDY#NUMBER"."""
    return f"{storage}#{study}#{number}"


def words_of(overrides: Sequence[str]) -> list[str]:
    """The overrides without the key `trial`."""
    return [word for word in overrides if not word.lstrip("+").startswith(f"{_KEY}=")]


@dataclass(frozen=True)
class RunningTrial:
    """One trial of a study: Optuna's study and storage, and the trial's id in the storage."""

    study: Any
    storage: Any
    identity: int

    @classmethod
    def open(cls, name: str) -> "RunningTrial":
        """Open a trial by the value of its run's key `trial`.

        Raises:
            UserError: there is no such trial, or Optuna is not installed.
        """
        optuna = load_optuna()
        try:
            url, study_name, number = name.rsplit("#", 2)
            storage = storage_of(url)
            study = optuna.load_study(study_name=study_name, storage=storage)
            identity = storage.get_trial_id_from_study_id_trial_number(
                storage.get_study_id_from_name(study_name), int(number)
            )
        except (KeyError, ValueError) as error:
            raise UserError(
                f"trial={name}: there is no such trial; remove trial=... to train without a search"
            ) from error
        study.pruner = pruner_of(study.user_attrs.get("pruning", {}))
        return cls(study, storage, identity)

    @property
    def pruned(self) -> bool:
        """Whether the trial is already marked as pruned."""
        return "pruned" in self.storage.get_trial(self.identity).user_attrs

    def report(self, epoch: int, value: float) -> None:
        """Report the monitored metric after an epoch; an epoch that was reported before is ignored."""
        if epoch not in self.storage.get_trial(self.identity).intermediate_values:
            self.storage.set_trial_intermediate_value(self.identity, epoch, value)

    def prune(self, epoch: int) -> bool:
        """Whether the pruner stops the trial after `epoch`; the decision is stored before it is returned."""
        stop = bool(self.study.pruner.prune(self.study, self.storage.get_trial(self.identity)))
        if stop:
            self.storage.set_trial_user_attr(self.identity, "pruned", epoch)
        return stop
