"""Train a built experiment in its run's folder and evaluate its best checkpoint: the work between lock and result."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from leyden.callbacks.loggers import ending_loggers, log_findings, log_result
from leyden.callbacks.margins import Margins
from leyden.callbacks.tensorboard import RunLogger, log_hparams, truncate_events
from leyden.callbacks.tensorboard_results import Finished, ResultViews
from leyden.health import label_noise
from leyden.health.data.checks import quick_checks
from leyden.health.findings import Finding
from leyden.imbalance.class_prior import ClassPrior, Ledger
from leyden.profiling.costs import forward_flops
from leyden.runs.manifest import git_diff, manifest
from leyden.runs.run import MARGINS, Run
from leyden.training import resume
from leyden.training.build import Experiment
from leyden.training.distributed import reset_process_group
from leyden.training.evaluation import TrainedEvaluation, write_arrays
from leyden.training.recovery import train_with_recovery
from leyden.training.resume import State
from leyden.utils import tensors
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.files import write_json, write_text


@ending_loggers()
def fit(
    made: Experiment,
    plain: Any,
    module: LightningModule,
    place: Run,
    ledger: Ledger | None,
    threads: int,
    command: Sequence[str],
) -> dict[str, Any]:
    """Train from the start or from where the run was interrupted; returns the parts of result.json.

    The test split is read once, at the end, with the checkpoint that was best on the validation split.
    """
    state = _begin(made, plain, place, threads, command)
    data = made.data
    before = [finding.to_dict() for finding in quick_checks(data)]
    flops = _flops(module, made)
    prior = None if ledger is None else ledger.prior
    try:
        trained = train(made, module, place, prior, state, leads=True)
    finally:
        reset_process_group()
    result: dict[str, Any] = {
        "status": "pruned" if trained.pruned else "complete",
        "metrics": trained.metrics,
        "best": trained.best,
        "cost": {**_cost(trained, data.used_batch_size(made.epochs)), "flops": flops},
        "compute": trained.compute,
        "prior": {
            **({} if ledger is None else ledger.to_dict(trained.answered)),
            "samples_per_epoch": len(data.epoch_sampler(made.epochs)),
        },
        "operating_point": trained.decision,
        "classes": list(trained.classes),
        "doctor": [*before, *trained.findings],
        "inputs": trained.inputs,
    }
    _log(trained, made, result, plain, place, command)
    return result


def _begin(made: Experiment, plain: Any, place: Run, threads: int, command: Sequence[str]) -> State | None:
    """Write what is known before training; the state to resume from, None at the start."""
    goes_on = place.state_file() in ("interrupted", "pruned") and not made.config.force
    state = resume.find(place.checkpoints) if goes_on else None
    if state is None:
        place.clear()
    else:
        resume.remove_temporaries(place.folder)
    facts = manifest(made.config, made.data.fingerprint, threads, command)
    place.begin(plain, facts, asdict(made.data.spec))
    if facts["git"].get("changed") and (diff := git_diff(Path.cwd())):
        write_text(place.folder / "changes.diff", diff)
    if made.data.tokenizer is not None:
        write_text(place.folder / "tokenizer.json", made.data.tokenizer.to_json())
    if state is None and made.config.parent is not None:
        state = resume.take_over(Path(made.config.parent), place.folder)
    if state is not None:
        truncate_events(place.folder, state.content.get("events", {}))
    return state


class Trained(NamedTuple):
    """What a rank has after training."""

    trainer: Trainer
    module: LightningModule
    metrics: dict[str, Any]
    decision: dict[str, Any]  # what is done to its outputs
    best: dict[str, Any]
    seconds: float  # of training, with those before it was resumed
    pruned: bool = False  # stopped by a search: not evaluated
    classes: Sequence[dict[str, Any]] = ()  # how often each was seen
    findings: Sequence[dict[str, Any]] = ()  # of the training
    answered: np.ndarray | None = None  # class shares that the net was found to answer by
    inputs: dict[str, Any] | None = None  # what the net answers by some of its inputs
    compute: dict[str, Any] | None = None  # how its steps were computed


def _log(
    trained: Trained,
    made: Experiment,
    result: Mapping[str, Any],
    plain: Any,
    place: Run,
    command: Sequence[str],
) -> None:
    """Findings, figures and hyperparameters to the loggers; a pruned run has been evaluated by nobody."""
    trainer = trained.trainer
    if trained.pruned:
        return
    log_findings(trainer.loggers, result["doctor"], command, trainer.global_step)
    log_result(result, trainer.global_step)
    for logger in trainer.loggers:
        if isinstance(logger, RunLogger):
            run = Finished(result, made.task, made.data, place.folder, trained.module, trainer)
            ResultViews(logger, run).write()
        if isinstance(logger, TensorBoardLogger):
            log_hparams(logger, plain, command, result)


def train(
    made: Experiment,
    module: LightningModule,
    place: Run,
    prior: ClassPrior | None,
    state: State | None,
    leads: bool = False,
) -> Trained:
    """What every rank does: train, take the best weights, evaluate val and test.

    leads: whether this is the process that starts the others.

    Raises:
        NonFinite: the run cannot go on.
    """
    done = train_with_recovery(made, module, place, state, leads)
    trainer, module, checkpoint = done.trainer, done.module, done.checkpoint
    best, seconds = {**checkpoint.best, "checkpoint": "checkpoints/best.ckpt"}, checkpoint.seconds
    if done.pruned:
        return Trained(trainer, module, {}, {}, best, seconds, pruned=True, compute=done.compute)
    trainer.strategy.barrier()  # the first rank has linked the best checkpoint
    weights = tensors.load(checkpoint.best_path)["state_dict"]
    if any(hasattr(p, "full_tensor") for p in module.parameters()):  # sharded (FSDP2): takes no whole weights
        module = made.module()
    module.load_state_dict(weights)
    evaluation = TrainedEvaluation(made, trainer, module)
    if prior is not None and best.get("epoch", 0) <= prior.since:  # of a phase before the last
        prior = prior._replace(exact=False)
    choice = evaluation.choose(prior)
    decision = choice.decision
    if trainer.is_global_zero:
        write_json(place.folder / "operating_point.json", decision.to_dict())
        tensors.write_weights(place.checkpoints / "best.safetensors", weights)
    predictions = place.folder / "predictions" if trainer.is_global_zero else None
    found = evaluation.metrics(choice, predictions=predictions)
    classes, findings = evaluation.class_exposure(decision, found.get("val", {}))
    noise = _label_noise(made, place, done.margins) if predictions else ()
    inputs, ignored = evaluation.by_inputs(choice)
    all_findings = (*(finding.to_dict() for finding in (*done.findings, *noise, *ignored)), *findings)
    return Trained(
        *(trainer, module, found, decision.to_dict(), best, seconds),
        classes=classes,
        findings=all_findings,
        answered=evaluation.answered(prior),
        inputs=inputs,
        compute=done.compute,
    )


def _label_noise(made: Experiment, place: Run, found: Margins | None) -> tuple[Finding, ...]:
    """Store the margins of the training rows, and judge whether many of their labels are wrong."""
    if found is None or not found.draws.any():
        return ()
    data, margins = made.data, found.mean
    labels, names = data.table.index.targets[found.rows], data.spec.target_names
    arrays = {
        "rows": found.rows,
        "labels": labels,
        "margins": margins,
        "draws": found.draws,
        "answers": found.answers,
    }
    if made.config.data.flipped_labels:
        arrays["source_labels"] = data.source_targets[found.rows]
    write_arrays(place.folder / MARGINS, arrays)
    if made.health.on_bad == "ignore":
        return ()
    words = [
        f"{data.table.index.names[found.rows[i]]} ({names[labels[i]]!r}, else answered {names[found.answers[i]]!r})"
        for i in label_noise.ranking(margins)[: label_noise.LISTED]
    ]
    noise = label_noise.find_noise(margins, found.draws, labels)
    return tuple(label_noise.label_noise(noise, margins, found.rows, words, made.health))


def _flops(module: LightningModule, made: Experiment) -> int | None:
    """Of a forward pass of one sample of median length; None where it cannot be had."""
    try:
        counted = forward_flops(module, made.data)
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
