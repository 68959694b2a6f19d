"""A configuration made ready to be looked at or tried, without a run: `leyden profile`, `check model`, `find`."""

from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import LightningModule

from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.data.preview import some_of_each_class
from leyden.health.model.model_under_test import SAMPLES, ModelUnderTest
from leyden.imbalance.auto import apply_auto
from leyden.modules.session import Session
from leyden.modules.standalone import fit_frontend
from leyden.training import build
from leyden.training.trainer import evaluation_trainer, health_settings, verify_trainer
from leyden.utils.errors import UserError
from leyden.utils.runtime import prepare


def open_session(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Session:
    """Compose, check, read the data, build the module; call `tune_process` before torch is imported.

    Raises:
        UserError: a mistake in the configuration or the data.
    """
    config = check(compose(overrides, config_dirs))
    prepare(config.threads)
    data = build.data(config)
    config, _ = apply_auto(config, data.spec)
    verify_trainer(config)
    trainer = evaluation_trainer(config, Path(config.runs))
    module = build.module(config, data.spec, data.steps_per_epoch(int(config.trainer["max_epochs"])))
    fit_frontend(module, data)
    converted = trainer.strategy.precision_plugin.convert_module(module)
    return Session(config, data, converted.to(trainer.strategy.root_device), trainer)  # type: ignore[arg-type]


def model_under_test(session: Session) -> ModelUnderTest:
    """What `leyden check model` holds to its contract: the session's module and a few training samples of each class.

    Raises:
        UserError: its module has no `prepare`.
    """
    config, data, module = session.config, session.data, session.module
    if not hasattr(module, "prepare"):
        raise UserError(
            f"leyden check model: {type(module).__name__} has no prepare(batch), so nothing of it can be looked "
            "at alone: derive it from leyden.modules.classification.Classifier"
        )
    rows = some_of_each_class(data.table.index.targets, data.splits.train, SAMPLES)
    steps = data.steps_per_epoch(int(config.trainer["max_epochs"]))

    def rebuild() -> LightningModule:
        again = config.model_copy(update={"seed": config.seed + 1})
        return build.module(again, data.spec, steps).to(session.device)

    batch = data.batch_of(rows).to(session.device)
    return ModelUnderTest(module, batch, data.spec.num_outputs, health_settings(config), rebuild)
