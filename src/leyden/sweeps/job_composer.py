"""Compose the plain configurations of a sweep's jobs, reusing the composition of jobs with the same options.

Hydra takes a tenth of a second to find, read and merge some thirty files per job, and most jobs of a sweep share them
all. Each combination of options is therefore composed once, and the values of a job are set in a copy of it.
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
    """Composes the jobs of one sweep.

    Args:
        loader: Hydra's config loader of the sweep.
        config: the sweep's own configuration, from which those of the jobs are derived.
    """

    def __init__(self, loader: ConfigLoaderImpl, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._parser = OverridesParser.create(config_loader=loader)
        self._bases: dict[tuple[str, ...], tuple[DictConfig, str | None]] = {}

    def __call__(self, overrides: Sequence[str]) -> Plain:
        """Compose a job's configuration, identical to the one that Hydra would compose for it alone.

        Args:
            overrides: in Hydra's syntax.

        Raises:
            UserError: they cannot be composed.
        """
        with translated_errors(conf_dir()):
            values, options = self._split(self._parser.parse_overrides(list(overrides)))
            base, experiment = self._base(tuple(str(o.input_line) for o in options))
            job = copy.deepcopy(base)
            apply_overrides(values, job)
            return to_plain(job, experiment)

    def _base(self, options: tuple[str, ...]) -> tuple[DictConfig, str | None]:
        """Return (configuration without Hydra's node, experiment's name) of a combination of options."""
        if options not in self._bases:
            cfg = self._loader.load_sweep_config(self._config, list(options))
            experiment = cfg.hydra.runtime.choices.get("experiment")
            OmegaConf.set_struct(cfg, False)
            del cfg["hydra"]
            OmegaConf.set_struct(cfg, True)
            self._bases[options] = cfg, experiment
        return self._bases[options]

    def _split(self, overrides: list[Override]) -> tuple[list[Override], list[Override]]:
        """Split overrides into values of keys and selected options; all count as options if any is neither."""
        values, options = [], []
        for override in overrides:
            value: Any = override.value()
            if self._loader.repository.group_exists(override.key_or_group):
                options.append(override)
            elif override.is_delete() or override.is_hydra_override() or isinstance(value, dict | list):
                return [], overrides  # its position among the values may matter
            else:
                values.append(override)
        return values, options
