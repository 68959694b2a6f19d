"""What a trained module answers, at its operating point: the numbers of result.json, split by split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer

from leyden import metrics
from leyden.config.schema import Config
from leyden.data.datamodule import DataModule
from leyden.data.loader import Loader
from leyden.data.spec import DataSpec
from leyden.decision import OperatingPoint, neutral
from leyden.decision.operating_point import log_softmax
from leyden.imbalance import class_exposure
from leyden.imbalance.auto import EVEN, ratio
from leyden.imbalance.class_prior import ClassPrior
from leyden.modules.classification import SplitOutputs
from leyden.training import build
from leyden.utils.errors import UserError
from leyden.utils.files import atomic_write


def operating_point(
    config: Config, trainer: Trainer, module: LightningModule, data: DataModule, prior: ClassPrior
) -> OperatingPoint:
    """Chosen on the validation split alone.

    Raises:
        UserError: there is no validation split, or a module of the user's own that keeps no logits.
    """
    choice = build.decision_rule(config, data.spec)
    names = data.spec.target_names
    if choice.neutral:
        return neutral(len(names))
    if not choice.reads_validation:
        none = np.zeros((0, len(names)))
        return choice.fit(none, np.zeros(0, np.int64), names, prior.seen, prior.training)
    outputs = _outputs(trainer, module, data.val_dataloader())
    if outputs is None:
        raise UserError("decision: needs logits, which a module of your own does not keep: decision=none")
    logits, labels = outputs.outputs.double().numpy(), outputs.targets.numpy()
    return choice.fit(logits, labels, names, prior.seen, prior.training)


def metrics_of(
    trainer: Trainer,
    module: LightningModule,
    data: DataModule,
    point: OperatingPoint,
    splits: tuple[str, ...] = ("val", "test"),
    predictions: Path | None = None,
) -> dict[str, Any]:
    """Metrics with intervals of each split that has rows, at an operating point.

    Outputs go to the folder `predictions`, if there is one. A LightningModule of the user's own that keeps no
    `evaluations` gives the scalars that it logs.
    """
    found = {}
    for split in (split for split in splits if len(getattr(data.splits, split))):
        outputs = _outputs(trainer, module, data.evaluation_loader(split))
        if outputs is None:
            found[split] = {"scalars": _scalars(trainer, module, data, split)}
        else:
            found[split] = _metrics(outputs, data.spec, point, predictions and predictions / f"{split}.npz")
    return found


def _outputs(trainer: Trainer, module: LightningModule, loader: Loader) -> SplitOutputs | None:
    """What the module says of all that a loader holds; None: it is the user's own and keeps nothing."""
    kept: Any = getattr(module, "evaluations", None)
    if kept is None:
        return None
    trainer.test(module, dataloaders=loader, verbose=False)
    outputs: SplitOutputs = kept.pop("test")
    return outputs


def _metrics(
    outputs: SplitOutputs, spec: DataSpec, point: OperatingPoint, path: Path | None
) -> dict[str, Any]:
    """Of one split; `before`: the values without the operating point, where there is one."""
    logits, labels = outputs.outputs.double().numpy(), outputs.targets.numpy()
    log_p = logits if point.is_neutral else point.log_probabilities(logits)
    answers = point.decide(log_p)
    if path is not None:
        probabilities = np.exp(log_softmax(log_p)).astype(np.float32)
        with atomic_write(path) as file:
            np.savez_compressed(
                file, rows=outputs.rows.numpy(), labels=labels, probabilities=probabilities, answers=answers
            )
    names, counts = spec.target_names, spec.class_counts
    at_point = torch.from_numpy(log_p)
    found = metrics.evaluate(
        at_point, outputs.targets, names, decisions=answers, class_counts=counts
    ).to_dict()
    if point.is_neutral:
        return found
    plain = metrics.evaluate(outputs.outputs, outputs.targets, names, intervals=False)
    return {**found, "before": {name: estimate.value for name, estimate in plain.values.items()}}


def _scalars(trainer: Trainer, module: LightningModule, data: DataModule, split: str) -> dict[str, float]:
    """What a module of the user's own logs, by its validation_step for val, else by its test_step."""
    evaluate = trainer.validate if split == "val" else trainer.test
    (logged,) = evaluate(module, dataloaders=data.evaluation_loader(split), verbose=False)
    own = "val/" if split == "val" else "test/"
    return {name.removeprefix(own): float(value) for name, value in logged.items()}


def class_exposure_of(
    config: Config,
    trainer: Trainer,
    module: LightningModule,
    data: DataModule,
    point: OperatingPoint,
    val: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The minority ledger and its alarms; empty where the classes are even: there is no minority."""
    counts = data.spec.class_counts
    if ratio(counts) < EVEN:
        return [], []
    rows = data.splits.train
    chosen = rows[class_exposure.some_of_each(data.table.index.targets[rows], len(counts))]
    outputs = _outputs(trainer, module, data.rows_loader(chosen))
    if outputs is None:
        return [], []
    log_p = point.log_probabilities(outputs.outputs.double().numpy())
    known = metrics.evaluate(
        torch.from_numpy(log_p),
        outputs.targets,
        data.spec.target_names,
        decisions=point.decide(log_p),
        intervals=False,
    )
    train, there = known.to_dict()["per_class"], val.get("per_class", [])
    epochs = int(config.trainer["max_epochs"])
    table = class_exposure.exposure_table(
        data.spec.target_names, data.epoch_sampler(epochs), trainer.current_epoch, train, there
    )
    return table, [finding.to_dict() for finding in class_exposure.exposure_findings(table, train, there)]
