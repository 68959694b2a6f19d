"""Leyden's launchers and sweepers, under the only name where Hydra looks for plugins.

They stand in a file whose name begins with an underscore: Hydra executes every other one a second time.
"""

from hydra_plugins.leyden_sweeps._plugins import Engine, Grid, Ray, RayOptions, Search

__all__ = ["Engine", "Grid", "Ray", "RayOptions", "Search"]
