"""Leyden's engine as Hydra's launcher, and a grid sweeper that composes each job once and writes no file.

Hydra accepts plugins only from this namespace. `leyden.sweeps.takeover` puts them in the place of Hydra's basic ones.
"""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class Engine(Launcher):
    """Hands the jobs to the task's `sweep`. inner: the launcher that the user has chosen, if any."""

    def __init__(self, inner: DictConfig | None = None) -> None:
        self._inner = inner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a launch needs; set up the inner launcher with the function for other processes."""
        self._context, self._config = hydra_context, config
        self._sweep: Any = getattr(task_function, "sweep")  # noqa: B009 (an attribute of leyden.train.Task)
        self._launcher: Launcher | None = None
        if self._inner is not None:
            with open_dict(config):
                config.hydra.launcher = self._inner
            self._launcher = Plugins.instance().instantiate_launcher(
                hydra_context, self._sweep.elsewhere, config
            )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do what is left of these jobs; every one has its return."""
        from leyden.sweeps.engine import composed

        configs = composed(self._context.config_loader, self._config, job_overrides, initial_job_idx)
        done: list[JobReturn] = self._sweep.launch(
            configs, len(job_overrides), self._launcher, initial_job_idx
        )
        return done


class Grid(BasicSweeper):
    """The product of all values, as Hydra's basic sweeper makes it."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch all jobs in one batch."""
        assert self.launcher is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        (jobs,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        return [self.launcher.launch(jobs, 0)]
