"""Every use of Hydra 1.3's private API; hence `hydra-core>=1.3.8,<1.4`.

tests/config/test_hydra_internals.py tests each use, and fails once Hydra offers a public replacement.
"""

from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

BASIC_PLUGINS = (
    "hydra._internal.core_plugins.basic_"  # prefix of the targets of Hydra's own launcher and sweeper
)

__all__ = [
    "BASIC_PLUGINS",
    "ConfigLoaderImpl",
    "Hydra",
    "apply_overrides",
    "create_config_search_path",
    "get_args_parser",
]


def apply_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Apply parsed overrides that set values to a composed configuration, in place."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)
