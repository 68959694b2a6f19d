"""The Hydra callback that puts Leyden's launcher around the configured one, its grid or search for the basic one."""

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from leyden.config.hydra_internals import BASIC_PLUGINS


class InstallLauncher(Callback):
    """At the start of a sweep; a single run is not touched."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Rewrite hydra.launcher and hydra.sweeper before Hydra makes them."""
        hydra = config.hydra
        with open_dict(config):
            inner = None if hydra.launcher._target_.startswith(BASIC_PLUGINS) else hydra.launcher
            engine = "hydra_plugins.leyden_sweeps._plugins.Engine"
            hydra.launcher = {"_target_": engine, "_recursive_": False, "inner": inner}
            if "sweep" in config:
                hydra.sweeper = {"_target_": "hydra_plugins.leyden_sweeps._plugins.Search"}
            elif hydra.sweeper._target_.startswith(BASIC_PLUGINS):
                hydra.sweeper._target_ = "hydra_plugins.leyden_sweeps._plugins.Grid"
