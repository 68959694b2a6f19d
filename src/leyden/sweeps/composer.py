"""The plain configurations of a sweep's jobs. Jobs that choose the same options differ in values alone.

Hydra takes a tenth of a second to find, read and merge some thirty files for one job, and most jobs of a sweep share
them all. So each choice of options is composed once, and the values of a job are put into a copy of it.
"""

import copy
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from leyden.compose import Plain, conf_dir, to_plain
from leyden.explain import explained


class Composer:
    """Composes jobs of one sweep.

    Args:
        loader: Hydra's, of the sweep.
        config: the sweep's own configuration, which the jobs' are made after.
    """

    def __init__(self, loader: ConfigLoaderImpl, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._parser = OverridesParser.create(config_loader=loader)
        self._bases: dict[tuple[str, ...], tuple[DictConfig, str | None]] = {}

    def __call__(self, words: Sequence[str]) -> Plain:
        """A job's configuration, as if Hydra had composed it alone.

        Args:
            words: overrides as Hydra takes them.

        Raises:
            UserError: they do not compose.
        """
        with explained(conf_dir()):
            overrides = self._parser.parse_overrides(list(words))
            values = [o for o in overrides if self._is_value(o)]
            choices = [o for o in overrides if not self._is_value(o)]
            if any(not self._is_group(o) for o in choices):  # its place among the values may matter
                values, choices = [], overrides
            base, experiment = self._base(tuple(str(o.input_line) for o in choices))
            job = copy.deepcopy(base)
            ConfigLoaderImpl._apply_overrides_to_config(values, job)
            return to_plain(job, experiment)

    def _base(self, choices: tuple[str, ...]) -> tuple[DictConfig, str | None]:
        """(the configuration without Hydra's node, the experiment's name) of a choice of options."""
        if choices not in self._bases:
            cfg = self._loader.load_sweep_config(self._config, list(choices))
            experiment = cfg.hydra.runtime.choices.get("experiment")
            OmegaConf.set_struct(cfg, False)
            del cfg["hydra"]
            OmegaConf.set_struct(cfg, True)
            self._bases[choices] = cfg, experiment
        return self._bases[choices]

    def _is_group(self, override: Override) -> bool:
        return self._loader.repository.group_exists(override.key_or_group)

    def _is_value(self, override: Override) -> bool:
        """Whether it sets one key, and decides on no option, and on nothing of Hydra's."""
        value: Any = override.value()
        return not (
            self._is_group(override)
            or override.is_delete()
            or override.is_hydra_override()
            or isinstance(value, dict | list)
        )
