"""A configuration built for inspection, without a run: `leyden profile`, `check model`, `find`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch import LightningModule
from numpy.typing import NDArray

from leyden.config.validate import check
from leyden.data.datamodule import DataModule
from leyden.data.preview import some_of_each_class
from leyden.data.targets import kind_of
from leyden.health.model.model_under_test import SAMPLES, ModelUnderTest
from leyden.modules.session import Session
from leyden.modules.standalone import fit_frontend
from leyden.training import build
from leyden.training.continuation import compose_with_runs
from leyden.training.trainer import evaluation_trainer, health_settings, verify_trainer
from leyden.utils.arrays import evenly
from leyden.utils.errors import UserError
from leyden.utils.runtime import prepare


def open_session(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Session:
    """Compose, check, read the data, build the module; call `tune_process` before torch is imported.

    Raises:
        UserError: a mistake in the configuration or the data.
    """
    plain, _ = compose_with_runs(overrides, config_dirs)
    config = check(plain)
    prepare(config.threads)
    made = build.experiment(config).with_recipe()
    verify_trainer(made.config)
    trainer = evaluation_trainer(made.config, Path(config.runs))
    module = made.module()
    fit_frontend(module, made.data)
    converted = trainer.strategy.precision_plugin.convert_module(module)
    return Session(made.config, made.data, converted.to(trainer.strategy.root_device), trainer)  # type: ignore[arg-type]


def model_under_test(session: Session) -> ModelUnderTest:
    """What `leyden check model` holds to its contract: the session's module and a few training samples.

    Raises:
        UserError: its module has no `prepare` or no `losses`.
    """
    config, data, module = session.config, session.data, session.module
    for method in ("prepare(batch)", "losses(outputs, batch)"):
        if not hasattr(module, method.partition("(")[0]):
            raise UserError(
                f"leyden check model: {type(module).__name__} has no {method}, so its parts cannot be checked: "
                "derive it from leyden.modules.base.SupervisedModule"
            )
    rows = _samples(data)
    again = config.model_copy(update={"seed": config.seed + 1})

    def rebuild() -> LightningModule:
        other = build.Experiment(again, build.task_of(config), data)
        return other.module().to(session.device)

    batch = data.batch_of(rows).to(session.device)
    return ModelUnderTest(module, batch, data.kind, data.spec.num_outputs, health_settings(config), rebuild)


def _samples(data: DataModule) -> NDArray[np.int64]:
    """A few training rows: of each class, or evenly spaced where there are none."""
    targets, train = data.table.index.targets, data.splits.train
    if kind_of(targets) == "classes":
        return some_of_each_class(targets, train, SAMPLES)
    return evenly(train, SAMPLES)
