"""Leyden's engine as Hydra's launcher, a grid sweeper that composes each job once and writes no file, and the search.

Hydra accepts plugins only from this namespace. `leyden.sweeps.hydra_callback` puts them in the place of its basic ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # here: Hydra has executed it anew by now
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class Engine(Launcher):
    """Hands the jobs to the task's `sweep`. inner: the launcher that the user has chosen, if any."""

    def __init__(self, inner: DictConfig | None = None) -> None:
        self._chosen = inner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a launch needs; set up the inner launcher with the function for other processes."""
        from leyden.sweeps.job_composer import Composer

        loader: Any = hydra_context.config_loader
        self.compose = Composer(loader, config)
        self.sweep: Any = getattr(task_function, "sweep")  # noqa: B009 (an attribute of leyden.cli.train.HydraJob)
        self.inner: Launcher | None = None
        if self._chosen is not None:
            with open_dict(config):
                config.hydra.launcher = self._chosen
            self.inner = Plugins.instance().instantiate_launcher(hydra_context, self.sweep.elsewhere, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do what is left of these jobs; every one has its return."""
        done: list[JobReturn] = self.sweep.launch(job_overrides, self.compose, self.inner, initial_job_idx)
        return done


class Ray(Launcher):
    """Jobs as tasks of a Ray cluster: leyden.sweeps.ray_launcher."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a launch needs."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do the jobs."""
        from leyden.sweeps.ray_launcher import launch

        configs = []
        for number, words in enumerate(job_overrides, start=initial_job_idx):
            cfg = self._context.config_loader.load_sweep_config(self._config, list(words))
            with open_dict(cfg):
                cfg.hydra.job.id = cfg.hydra.job.num = number
            configs.append(cfg)
        return launch(configs, self._task, self._options)


@dataclass
class RayOptions:
    """`hydra/launcher=ray`. address: of a cluster (else RAY_ADDRESS); without one, one of this machine is started."""

    _target_: str = "hydra_plugins.leyden_sweeps._plugins.Ray"
    address: str | None = None
    num_cpus: int | None = None  # of a cluster started here; None: the machine's cores
    cpus: float = 1  # of a job; so are the rest
    gpus: float = 0
    memory_gb: float | None = None


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayOptions, provider="leyden")


class Grid(BasicSweeper):
    """The product of all values, as Hydra's basic sweeper makes it."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch all jobs in one batch."""
        assert self.launcher is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        (jobs,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        return [self.launcher.launch(jobs, 0)]


class Search(Sweeper):
    """Trials of a study, as the node `sweep` of the configuration describes it: leyden.sweeps.optuna_sweep."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration; make the launcher."""
        self._config = config
        self._launcher: Any = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Do the search."""
        from leyden.sweeps.optuna_sweep import search

        search(self._config, self._launcher, arguments)
