"""Options of installed packages: entry points of the group `leyden.conf` are added to Hydra's search path.

[project.entry-points."leyden.conf"]
mylab = "mylab.conf"                  # a package (a folder with YAML and __init__.py)
"""

from importlib.metadata import entry_points

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class LeydenOptions(SearchPathPlugin):
    """Appends `pkg://<value>` for each entry point of the group `leyden.conf`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the packages: Leyden's own options come first, so a package can add options but not replace any."""
        for point in entry_points(group="leyden.conf"):
            search_path.append(provider=point.name, path=f"pkg://{point.value}")
