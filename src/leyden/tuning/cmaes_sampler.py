"""CMA-ES whose state is computed from the trials of the study, and never read from it.

Optuna's own sampler stores its state as a pickle in the study's database and loads it again: whoever wrote the database
could run code. The state follows from the values of the generations so far, so it is told them anew for each trial,
some milliseconds for hundreds. Overrides what Optuna 5 does not promise; hence `optuna>=5,<6`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna._transform import _SearchSpaceTransform
from optuna.samplers import CmaEsSampler
from optuna.study import StudyDirection


class ReplayedCmaEs(CmaEsSampler):
    """`CmaEsSampler` without margins, for a study of one objective."""

    def sample_relative(self, study: Any, trial: Any, search_space: Mapping[str, Any]) -> dict[str, Any]:
        """As Optuna asks; keeps what `_restore_optimizer` needs."""
        self._direction, self._searched = study.direction, dict(search_space)
        found: dict[str, Any] = super().sample_relative(study, trial, self._searched)
        return found

    def _restore_optimizer(self, completed_trials: Sequence[Any]) -> Any:
        space = _SearchSpaceTransform(self._searched, transform_step=True, transform_0_1=True)
        sign = 1 if self._direction == StudyDirection.MINIMIZE else -1
        optimizer = self._init_optimizer(space, self._direction)
        while True:
            told: list[Any] = self._get_solution_trials(list(completed_trials), optimizer.generation)
            if len(told) < optimizer.population_size:
                return optimizer
            of_generation = told[: optimizer.population_size]
            optimizer.tell([(space.transform(trial.params), sign * trial.value) for trial in of_generation])

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:
        return {}  # nothing is stored
