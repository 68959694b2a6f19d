"""What Leyden needs of Hydra 1.3 that Hydra does not promise, all in one place; hence `hydra-core>=1.3.8,<1.4`.

tests/config/test_hydra_internals.py holds each to what it is needed for, and fails once Hydra offers it publicly.
"""

from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

BASIC_PLUGINS = "hydra._internal.core_plugins.basic_"  # how the targets of its own launcher and sweeper begin

__all__ = [
    "BASIC_PLUGINS",
    "ConfigLoaderImpl",
    "Hydra",
    "apply_overrides",
    "create_config_search_path",
    "get_args_parser",
]


def apply_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Put parsed overrides that set values into a composed configuration, in place."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)
