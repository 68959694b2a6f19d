"""Hydra plugins: the launcher of a sweep, a grid sweeper that composes each job once, the search's sweeper, and Ray.

Hydra accepts plugins only from this namespace. `leyden.sweeps.hydra_callback` selects them in place of the basic ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # Hydra re-executes it
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class SweepLauncher(Launcher):
    """Passes the jobs to the task function's `sweep`. inner: the launcher that the user has configured, if any."""

    def __init__(self, inner: DictConfig | None = None) -> None:
        self._inner_config = inner

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what `launch` needs; set up the inner launcher with the function for other processes."""
        from leyden.sweeps.job_composer import Composer

        loader: Any = hydra_context.config_loader
        self.compose = Composer(loader, config)
        self.sweep: Any = getattr(task_function, "sweep")  # noqa: B009 (an attribute of leyden.cli.train.HydraJob)
        self.inner: Launcher | None = None
        if self._inner_config is not None:
            with open_dict(config):
                config.hydra.launcher = self._inner_config
            self.inner = Plugins.instance().instantiate_launcher(hydra_context, self.sweep.elsewhere, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run those of these jobs that are not finished; returns the outcome of every job."""
        returns: list[JobReturn] = self.sweep.launch(job_overrides, self.compose, self.inner, initial_job_idx)
        return returns


class RayLauncher(Launcher):
    """Jobs as tasks of a Ray cluster: leyden.sweeps.ray_launcher."""

    def __init__(self, **options: Any) -> None:
        self._options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what `launch` needs."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; returns their outcomes."""
        from leyden.sweeps.ray_launcher import launch

        configs = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            cfg = self._context.config_loader.load_sweep_config(self._config, list(overrides))
            with open_dict(cfg):
                cfg.hydra.job.id = cfg.hydra.job.num = number
            configs.append(cfg)
        return launch(configs, self._task, self._options)


@dataclass
class RayConfig:
    """`hydra/launcher=ray`. address: of a cluster (default: RAY_ADDRESS); without one, a local cluster is started."""

    _target_: str = "hydra_plugins.leyden_sweeps._plugins.RayLauncher"
    address: str | None = None
    num_cpus: int | None = None  # of a local cluster; None: the machine's cores
    cpus: float = 1  # per job; so are the following
    gpus: float = 0
    memory_gb: float | None = None


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConfig, provider="leyden")


class GridSweeper(BasicSweeper):
    """The Cartesian product of all values, as by Hydra's basic sweeper."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launch all jobs in one batch."""
        assert self.launcher is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        (jobs,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        return [self.launcher.launch(jobs, 0)]


class SearchSweeper(Sweeper):
    """The trials of a search, described by the node `sweep` of the configuration: leyden.sweeps.optuna_sweep."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the configuration; create the launcher."""
        self._config = config
        self._launcher: Any = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the search."""
        from leyden.sweeps.optuna_sweep import search

        search(self._config, self._launcher, arguments)
