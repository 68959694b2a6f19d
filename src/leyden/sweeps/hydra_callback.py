"""The Hydra callback that wraps the configured launcher, and replaces Hydra's basic sweeper by a grid or a search."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from leyden.config.hydra_internals import BASIC_PLUGINS


class InstallLauncher(Callback):
    """Installs Leyden's launcher and sweeper at the start of a sweep; single runs are not affected."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Rewrite hydra.launcher and hydra.sweeper before Hydra instantiates them."""
        hydra = config.hydra
        with open_dict(config):
            inner = None if hydra.launcher._target_.startswith(BASIC_PLUGINS) else hydra.launcher
            launcher = "hydra_plugins.leyden_sweeps._plugins.SweepLauncher"
            hydra.launcher = {"_target_": launcher, "_recursive_": False, "inner": inner}
            if "sweep" in config:
                hydra.sweeper = {"_target_": "hydra_plugins.leyden_sweeps._plugins.SearchSweeper"}
            elif hydra.sweeper._target_.startswith(BASIC_PLUGINS):
                hydra.sweeper._target_ = "hydra_plugins.leyden_sweeps._plugins.GridSweeper"
