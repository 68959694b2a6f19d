"""The plain configurations of a sweep's jobs. Jobs that choose the same options differ in values alone.

Hydra takes a tenth of a second to find, read and merge some thirty files for one job, and most jobs of a sweep share
them all. So each choice of options is composed once, and the values of a job are put into a copy of it.
"""

import copy
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from leyden.config.compose import Plain, conf_dir, to_plain
from leyden.config.hydra_errors import translated_errors
from leyden.config.hydra_internals import ConfigLoaderImpl, apply_overrides


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
        with translated_errors(conf_dir()):
            values, choices = self._divided(self._parser.parse_overrides(list(words)))
            base, experiment = self._base(tuple(str(o.input_line) for o in choices))
            job = copy.deepcopy(base)
            apply_overrides(values, job)
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

    def _divided(self, overrides: list[Override]) -> tuple[list[Override], list[Override]]:
        """(those that set one key, those that choose an option); all as the latter where some are neither."""
        values, choices = [], []
        for override in overrides:
            value: Any = override.value()
            if self._loader.repository.group_exists(override.key_or_group):
                choices.append(override)
            elif override.is_delete() or override.is_hydra_override() or isinstance(value, dict | list):
                return [], overrides  # its place among the values may matter
            else:
                values.append(override)
        return values, choices
