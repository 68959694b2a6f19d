"""Train a built experiment in its run's folder and evaluate its best checkpoint: the work between lock and result."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from leyden.callbacks.tensorboard import log_hparams, truncate_events, write_figures, write_findings
from leyden.config.schema import Config
from leyden.data.datamodule import DataModule
from leyden.health.data.checks import quick_checks
from leyden.health.findings import Finding
from leyden.health.label_noise import label_noise
from leyden.imbalance.class_prior import ClassPrior, Ledger
from leyden.profiling.costs import forward_flops
from leyden.runs.manifest import git_diff, manifest
from leyden.runs.run import Run
from leyden.training import resume
from leyden.training.distributed import reset_process_group
from leyden.training.evaluation import class_exposure_of, metrics_of, operating_point
from leyden.training.recovery import train_with_recovery
from leyden.training.resume import State
from leyden.training.trainer import health_settings
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.files import write_json, write_text


def fit(
    config: Config,
    plain: Any,
    data: DataModule,
    module: LightningModule,
    place: Run,
    ledger: Ledger,
    threads: int,
    command: Sequence[str],
) -> dict[str, Any]:
    """Train from the start or from where the run broke off; returns the parts of result.json.

    The test split is read once, at the end, with the checkpoint that was best on the validation split.
    """
    goes_on = place.state_file() in ("interrupted", "pruned") and not config.force
    state = resume.find(place.checkpoints) if goes_on else None
    if state is None:
        place.clear()
    else:
        resume.remove_temporaries(place.folder)
        truncate_events(place.folder, state.content.get("events", {}))
    facts = manifest(config, data.fingerprint, threads, command)
    place.begin(plain, facts, asdict(data.spec))
    if facts["git"].get("changed") and (diff := git_diff(Path.cwd())):
        write_text(place.folder / "changes.diff", diff)
    if data.tokenizer is not None:
        write_text(place.folder / "tokenizer.json", data.tokenizer.to_json())
    before = [finding.to_dict() for finding in quick_checks(data)]
    flops = _flops(module, data)
    try:
        trained = train(config, data, module, place, ledger.prior, state, leads=True)
    finally:
        reset_process_group()
    result: dict[str, Any] = {
        "status": "pruned" if trained.pruned else "complete",
        "metrics": trained.metrics,
        "best": trained.best,
        "cost": {**_cost(trained, config.batch_size), "flops": flops},
        "prior": {
            **ledger.to_dict(),
            "samples_per_epoch": len(data.epoch_sampler(int(config.trainer["max_epochs"]))),
        },
        "operating_point": trained.point,
        "classes": list(trained.classes),
        "doctor": [*before, *trained.findings],
    }
    if not trained.pruned:
        write_findings(trained.trainer.loggers, result["doctor"], command, trained.trainer.global_step)
    for logger in trained.trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            if not trained.pruned:
                write_figures(
                    logger.experiment, result, data, place.folder / "predictions", trained.trainer.global_step
                )
                log_hparams(logger, plain, command, result)
            logger.finalize("success")
    return result


class Trained(NamedTuple):
    """What a rank has after training."""

    trainer: Trainer
    module: LightningModule
    metrics: dict[str, Any]
    point: dict[str, Any]  # where it operates: what is done to its logits
    best: dict[str, Any]
    seconds: float  # of training, with those before it was resumed
    pruned: bool = False  # stopped by a search: not evaluated
    classes: Sequence[dict[str, Any]] = ()  # the minority ledger
    findings: Sequence[dict[str, Any]] = ()  # of the training


def train(
    config: Config,
    data: DataModule,
    module: LightningModule,
    place: Run,
    prior: ClassPrior,
    state: State | None,
    leads: bool = False,
) -> Trained:
    """What every rank does: train, take the best weights, evaluate val and test.

    leads: whether this is the process that starts the others.

    Raises:
        NonFinite: the run cannot go on.
    """
    done = train_with_recovery(config, data, module, place, state, leads)
    trainer, module, checkpoint = done.trainer, done.module, done.checkpoint
    best, seconds = {**checkpoint.best, "checkpoint": "checkpoints/best.ckpt"}, checkpoint.seconds
    if done.pruned:
        return Trained(trainer, module, {}, {}, best, seconds, pruned=True)
    trainer.strategy.barrier()  # the first rank has linked the best checkpoint
    module.load_state_dict(
        torch.load(checkpoint.best_path, map_location="cpu", weights_only=False)["state_dict"]
    )
    point = operating_point(config, trainer, module, data, prior)
    if trainer.is_global_zero:
        write_json(place.folder / "operating_point.json", point.to_dict())
    predictions = place.folder / "predictions" if trainer.is_global_zero else None
    found = metrics_of(trainer, module, data, point, predictions=predictions)
    classes, findings = class_exposure_of(config, trainer, module, data, point, found.get("val", {}))
    noise = _label_noise(config, data, place) if predictions else ()
    all_findings = (*(finding.to_dict() for finding in (*done.findings, *noise)), *findings)
    return Trained(
        trainer, module, found, point.to_dict(), best, seconds, classes=classes, findings=all_findings
    )


def _label_noise(config: Config, data: DataModule, place: Run) -> tuple[Finding, ...]:
    """Labels that look wrong on the validation split, which the model has not trained on."""
    stored = place.folder / "predictions" / "val.npz"
    policy = health_settings(config)
    if policy.on_bad == "ignore" or not stored.exists():
        return ()
    with np.load(stored) as outputs:
        names = [str(data.table.index.names[row]) for row in outputs["rows"]]
        return tuple(
            label_noise(outputs["probabilities"].astype(np.float64), outputs["labels"], names, policy)
        )


def _flops(module: LightningModule, data: DataModule) -> int | None:
    """Of a forward pass of one sample of median length; None where it cannot be had."""
    try:
        counted = forward_flops(module, data)
    except UserError as error:  # of a net of the user's own: no reason not to train it
        console.print(f"FLOPs are not counted: {error}")
        return None
    return None if counted is None or counted.uncounted else counted.total


def _cost(trained: Trained, batch_size: int) -> dict[str, Any]:
    steps, seconds = trained.trainer.global_step, trained.seconds
    samples = steps * batch_size
    return {
        "seconds": round(seconds, 3),
        "samples_per_second": round(samples / seconds, 1) if seconds else None,
        "parameters": sum(p.numel() for p in trained.module.parameters()),
        "steps": steps,
    }
