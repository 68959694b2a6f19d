"""Leyden's launchers and sweepers, in the only namespace in which Hydra discovers plugins.

They are in a file whose name starts with an underscore, since Hydra executes every other file a second time.
"""

from hydra_plugins.leyden_sweeps._plugins import (
    GridSweeper,
    RayConfig,
    RayLauncher,
    SearchSweeper,
    SweepLauncher,
)

__all__ = ["GridSweeper", "RayConfig", "RayLauncher", "SearchSweeper", "SweepLauncher"]
