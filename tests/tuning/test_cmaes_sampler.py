"""CMA-ES without a pickled state: it proposes what Optuna's own would, and reads nothing that could run code."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cmaes")
optuna = pytest.importorskip("optuna")

from leyden.tuning.optuna_backend import load_optuna, sampler_of  # noqa: E402


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def own(number: int) -> Any:
    return sampler_of("cmaes", 3, 2, number)


def optunas(number: int) -> Any:
    seed = (3 * 1_000_003 + number) % 2**32
    return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=2, warn_independent_sampling=False)


def searched(make: Any, trials: int, study: Any = None, direction: str = "maximize", state: str = "") -> Any:
    """A study, each of whose trials gets a new sampler, as in a search of several launches.

    state: what the first trials hold where Optuna stores its own sampler's state.
    """
    load_optuna()
    study = study or optuna.create_study(direction=direction)
    for number in range(len(study.trials), trials):
        study.sampler = make(number)
        trial = study.ask()
        x, y = trial.suggest_float("x", 1e-4, 1.0, log=True), trial.suggest_int("y", -20, 20)
        if state:
            study._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", state)
        study.tell(trial, -abs(x - 0.1) - (y - 7) ** 2)
    return study


def proposals(study: Any) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_its_state_is_that_of_optunas_own(direction: str) -> None:
    """Which stores it: over several generations the distribution that is drawn from is the same."""
    study = searched(optunas, 60, direction=direction)
    completed = study.trials
    stored = optunas(0)._restore_optimizer(completed)
    sampler = own(60)
    sampler.sample_relative(study, study.ask(), sampler.infer_relative_search_space(study, None))
    replayed = sampler._restore_optimizer(completed)
    assert stored.generation == replayed.generation > 5
    for name in ("_mean", "_sigma", "_C", "_p_sigma", "_pc"):
        assert np.allclose(getattr(stored, name), getattr(replayed, name), rtol=1e-12), name


def test_it_comes_close_to_the_best() -> None:
    study = searched(own, 80)
    assert study.best_value > -0.1
    assert proposals(study) == proposals(searched(own, 80)), "a function of seed and values"


def test_no_state_is_stored() -> None:
    names = {name for trial in searched(own, 20).trials for name in trial.system_attrs}
    assert names == {"cma:generation"}


def test_a_state_of_a_strangers_is_not_read(tmp_path: Path) -> None:
    evil = pickle.dumps(Evil(tmp_path / "executed")).hex()
    study = searched(own, 20, state=evil)
    assert proposals(study) == proposals(searched(own, 20))
    assert not (tmp_path / "executed").exists()
    searched(optunas, 21, study)
    assert (tmp_path / "executed").exists(), "Optuna's own reads it"
