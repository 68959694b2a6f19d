"""Train a built experiment in its run's folder and evaluate its best checkpoint: the work between lock and result."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from leyden import build, metrics, minority, resume
from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.pruning import Pruned
from leyden.callbacks.tensorboard import log_choices, rewind, show
from leyden.config import Config
from leyden.data.datamodule import DataModule
from leyden.data.ledger import Ledger, Prior
from leyden.data.loader import Loader
from leyden.data.spec import DataSpec
from leyden.errors import UserError
from leyden.files import write_json, write_text
from leyden.manifest import git_diff, manifest
from leyden.modules.classifier import Evaluation
from leyden.operating import OperatingPoint, neutral
from leyden.operating.point import log_softmax
from leyden.ranks import following
from leyden.recipes import EVEN, ratio
from leyden.resume import State
from leyden.run import Run


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
        resume.tidy(place.folder)
        rewind(place.folder, state.content.get("events", {}))
    place.begin(plain, manifest(config, data.fingerprint, threads, command), asdict(data.spec))
    if diff := git_diff(Path.cwd()):
        write_text(place.folder / "changes.diff", diff)
    if data.tokenizer is not None:
        write_text(place.folder / "tokenizer.json", data.tokenizer.to_json())
    with following(place.folder, None if state is None else state.path):
        trained = train(config, data, module, place, ledger.prior, state)
    result: dict[str, Any] = {
        "status": "pruned" if trained.pruned else "complete",
        "metrics": trained.metrics,
        "best": trained.best,
        "cost": _cost(module, trained, config.batch_size),
        "prior": ledger.to_dict(),
        "operating_point": trained.point,
        "classes": list(trained.classes),
        "doctor": list(trained.findings),
    }
    for logger in trained.trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            if not trained.pruned:
                show(
                    logger.experiment, result, data, place.folder / "predictions", trained.trainer.global_step
                )
                log_choices(logger, plain, command, result)
            logger.finalize("success")
    return result


class Trained(NamedTuple):
    """What a rank has after training."""

    trainer: Trainer
    metrics: dict[str, Any]
    point: dict[str, Any]  # where it operates: what is done to its logits
    best: dict[str, Any]
    seconds: float  # of training, with those before it was resumed
    pruned: bool  # stopped by a search: not evaluated
    classes: Sequence[dict[str, Any]] = ()  # the minority ledger
    findings: Sequence[dict[str, Any]] = ()  # of the training


def train(
    config: Config,
    data: DataModule,
    module: LightningModule,
    place: Run,
    prior: Prior,
    state: State | None,
) -> Trained:
    """What every rank does: fit the frontend, train, take the best weights, evaluate val and test."""
    frontend: Any = getattr(module, "frontend", None)
    if hasattr(frontend, "fit"):
        frontend.fit(data.fit_batches())
    first = None if state is None else state.step + 1  # event files drop what they hold from there
    trainer = build.trainer(config, place.folder, first)
    trainer.strategy.checkpoint_io = resume.Files(state)
    path, pruned = None if state is None else state.path, False
    try:
        trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=False if path else None)
    except Pruned:
        pruned = True
    checkpoint = next(c for c in trainer.checkpoint_callbacks if isinstance(c, Checkpoint))
    best, seconds = {**checkpoint.best, "checkpoint": "checkpoints/best.ckpt"}, checkpoint.seconds
    if pruned:
        return Trained(trainer, {}, {}, best, seconds, pruned)
    trainer.strategy.barrier()  # the first rank has linked the best checkpoint
    module.load_state_dict(
        torch.load(checkpoint.best_path, map_location="cpu", weights_only=False)["state_dict"]
    )
    point = operating_point(config, trainer, module, data, prior)
    if trainer.is_global_zero:
        write_json(place.folder / "operating_point.json", point.to_dict())
    predictions = place.folder / "predictions" if trainer.is_global_zero else None
    found = metrics_of(trainer, module, data, point, predictions=predictions)
    classes, findings = _minority(config, trainer, module, data, point, found.get("val", {}))
    return Trained(trainer, found, point.to_dict(), best, seconds, pruned, classes, findings)


def _minority(
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
    chosen = rows[minority.some_of_each(data.table.index.labels[rows], len(counts))]
    outputs = _outputs(trainer, module, data.rows_loader(chosen))
    if outputs is None:
        return [], []
    log_p = point.log_probabilities(outputs.logits.double().numpy())
    known = metrics.evaluate(
        torch.from_numpy(log_p),
        outputs.labels,
        data.spec.class_names,
        decisions=point.decide(log_p),
        intervals=False,
    )
    train, there = known.to_dict()["per_class"], val.get("per_class", [])
    epochs = int(config.trainer["max_epochs"])
    table = minority.ledger(data.spec.class_names, data.plan(epochs), trainer.current_epoch, train, there)
    return table, list(minority.alarms(table, train, there))


def operating_point(
    config: Config, trainer: Trainer, module: LightningModule, data: DataModule, prior: Prior
) -> OperatingPoint:
    """Chosen on the validation split alone.

    Raises:
        UserError: there is no validation split, or a module of the user's own that keeps no logits.
    """
    choice = build.operating(config, data.spec)
    names = data.spec.class_names
    if choice.neutral:
        return neutral(len(names))
    if not choice.reads_validation:
        none = np.zeros((0, len(names)))
        return choice.fit(none, np.zeros(0, np.int64), names, prior.seen, prior.training)
    outputs = _outputs(trainer, module, data.val_dataloader())
    if outputs is None:
        raise UserError("operating: needs logits, which a module of your own does not keep: operating=none")
    logits, labels = outputs.logits.double().numpy(), outputs.labels.numpy()
    return choice.fit(logits, labels, names, prior.seen, prior.training)


def _cost(module: LightningModule, trained: Trained, batch_size: int) -> dict[str, Any]:
    steps, seconds = trained.trainer.global_step, trained.seconds
    samples = steps * batch_size
    return {
        "seconds": round(seconds, 3),
        "samples_per_second": round(samples / seconds, 1) if seconds else None,
        "parameters": sum(p.numel() for p in module.parameters()),
        "steps": steps,
    }


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


def _outputs(trainer: Trainer, module: LightningModule, loader: Loader) -> Evaluation | None:
    """What the module says of all that a loader holds; None: it is the user's own and keeps nothing."""
    kept: Any = getattr(module, "evaluations", None)
    if kept is None:
        return None
    trainer.test(module, dataloaders=loader, verbose=False)
    outputs: Evaluation = kept.pop("test")
    return outputs


def _metrics(outputs: Evaluation, spec: DataSpec, point: OperatingPoint, path: Path | None) -> dict[str, Any]:
    """Of one split; `before`: the values without the operating point, where there is one."""
    logits, labels = outputs.logits.double().numpy(), outputs.labels.numpy()
    log_p = logits if point.is_neutral else point.log_probabilities(logits)
    answers = point.decide(log_p)
    if path is not None:
        np.savez_compressed(
            path,
            rows=outputs.rows.numpy(),
            labels=labels,
            probabilities=np.exp(log_softmax(log_p)).astype(np.float32),
            answers=answers,
        )
    names, counts = spec.class_names, spec.class_counts
    at_point = torch.from_numpy(log_p)
    found = metrics.evaluate(
        at_point, outputs.labels, names, decisions=answers, class_counts=counts
    ).to_dict()
    if point.is_neutral:
        return found
    plain = metrics.evaluate(outputs.logits, outputs.labels, names, intervals=False)
    return {**found, "before": {name: estimate.value for name, estimate in plain.values.items()}}


def _scalars(trainer: Trainer, module: LightningModule, data: DataModule, split: str) -> dict[str, float]:
    """What a module of the user's own logs, by its validation_step for val, else by its test_step."""
    evaluate = trainer.validate if split == "val" else trainer.test
    (logged,) = evaluate(module, dataloaders=data.evaluation_loader(split), verbose=False)
    own = "val/" if split == "val" else "test/"
    return {name.removeprefix(own): float(value) for name, value in logged.items()}
