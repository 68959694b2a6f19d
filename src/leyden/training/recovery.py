"""Training with recovery: rolls back to check every step, or to continue from a state before the bad step.

Rolling back is a resume (training.resume): the newest checkpoint that is far enough before the event, a new trainer,
the same order of batches. What differs from then on is written to recovery.json first, for a run that is killed:

    bad_step/recovery.json     {"rollbacks": [...], "passed": [[epoch, first batch, last batch], ...]}
"""

import contextlib
import math
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.compute_plan import ComputePlan
from leyden.callbacks.health_monitor import HealthMonitor, NonFiniteStep
from leyden.callbacks.loggers import log_findings
from leyden.callbacks.margins import Margins
from leyden.callbacks.pruning import Pruned
from leyden.callbacks.tensorboard import truncate_events
from leyden.health import replay, step_snapshot
from leyden.health.epoch_stats import ValidationFacts
from leyden.health.findings import Finding, NonFinite
from leyden.health.output_rules import NonFiniteOutputs
from leyden.health.settings import DiagnosticsSettings
from leyden.health.step_snapshot import RecordedBatch, StepSnapshot, recovery_file
from leyden.health.suggestions import fill_in
from leyden.modules.standalone import fit_frontend
from leyden.modules.untrained import Untrained
from leyden.runs.run import Run
from leyden.training import resume, slurm
from leyden.training.build import Experiment
from leyden.training.distributed import launch_followers, reset_process_group, threads_of_a_rank
from leyden.training.resume import State
from leyden.training.trainer import build_trainer
from leyden.utils import runtime
from leyden.utils.console import console
from leyden.utils.files import write_json
from leyden.utils.random_state import torch_rng
from leyden.utils.text import plural


class TrainingOutcome(NamedTuple):
    """The result of training that has ended."""

    trainer: Trainer
    module: LightningModule
    pruned: bool
    findings: tuple[Finding, ...]

    @property
    def margins(self) -> Margins | None:
        """The margins of the training rows; None: the task has no classes."""
        return next((c for c in self.trainer.callbacks if isinstance(c, Margins)), None)  # type: ignore[attr-defined]

    @property
    def compute(self) -> dict[str, Any] | None:
        """How steps were computed, as in result.json; None: there was none to take."""
        plans = (c for c in self.trainer.callbacks if isinstance(c, ComputePlan))  # type: ignore[attr-defined]
        return next(plans).record or None

    @property
    def checkpoint(self) -> Checkpoint:
        """The callback that knows which epoch was best."""
        return next(c for c in self.trainer.checkpoint_callbacks if isinstance(c, Checkpoint))


def train_with_recovery(
    made: Experiment, module: LightningModule, place: Run, state: State | None, leads: bool
) -> TrainingOutcome:
    """Fit the frontend and train; on a non-finite step, react as the health settings say.

    Args:
        leads: whether this is the process that starts the other ranks.

    Raises:
        NonFinite: the run cannot go on; its findings name the module.
    """
    exact = False
    while True:
        trainer, bad = _attempt(made, module, place, state, exact, leads)
        if not isinstance(bad, NonFiniteStep):
            found = () if bad is not None else _findings(made, module, trainer, place)
            return TrainingOutcome(trainer, module, bad is not None, found)
        if not leads:
            raise NonFinite(str(bad))
        reset_process_group()
        settings = made.health
        doctor = _health_monitor(trainer)
        if not bad.exact and slurm.task_count() == 1:
            console.print(f"doctor: {bad}, or a few steps earlier: rolling back to check every step")
            exact, state = True, resume.roll_back(place.checkpoints, bad.step)
        elif settings.on_bad == "roll_back" and len(doctor.rollbacks) < settings.rollbacks and bad.lasting:
            state = _roll_back(place, settings, doctor, bad, made.steps_per_epoch)
        else:
            raise _stopped(made, module, trainer, place, bad)
        truncate_events(place.folder, {} if state is None else state.content.get("events", {}))
        module = made.module()


def _attempt(
    made: Experiment,
    module: LightningModule,
    place: Run,
    state: State | None,
    exact: bool,
    leads: bool,
) -> tuple[Trainer, NonFiniteStep | Pruned | None]:
    """One `Trainer.fit`, and what stopped it early; None: nothing did."""
    fit_frontend(module, made.data)
    first = None if state is None else state.step + 1  # event files drop what they hold from there
    config = made.config
    threads = runtime.thread_count(threads_of_a_rank(config.threads, config.trainer))
    plan = ComputePlan(config, threads, made.total_steps, made.data.used_batch_size(made.epochs))
    own = [plan, *_margins(made, module)]
    trainer = build_trainer(config, place.folder, made.epochs, first, exact, own)
    trainer.strategy.checkpoint_io = resume.PlainCheckpointIO(state)
    path = None if state is None else state.path
    others: AbstractContextManager[None] = (
        launch_followers(place.folder, path) if leads else contextlib.nullcontext()
    )
    try:
        with others:
            trainer.fit(module, datamodule=made.data, ckpt_path=path)
    except (NonFiniteStep, Pruned) as ended:
        return trainer, ended
    except NonFiniteOutputs as bad:
        return trainer, _after_last_step(bad, made, module, trainer, place)
    return trainer, None


def _margins(made: Experiment, module: LightningModule) -> list[Callback]:
    """What follows the margins of the training rows, of a run that tells classes apart."""
    ledger, data = made.ledger(module), made.data
    if ledger is None or not made.task.has_class_prior or data.spec.num_outputs < 2:
        return []
    rows = data.splits.train
    return [Margins(rows, data.table.index.targets[rows], ledger)]


def _after_last_step(
    bad: NonFiniteOutputs, made: Experiment, module: Any, trainer: Trainer, place: Run
) -> NonFiniteStep:
    """The event of validation outputs that overflow although every step was finite, with its step snapshot."""
    step, epoch = trainer.global_step, trainer.current_epoch
    rows = module.evaluations["val"].rows[bad.bad][: made.config.batch_size].cpu().numpy()
    batches = (RecordedBatch(made.data.batch_of(rows), -1, torch_rng()),)
    weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
    snapshot = StepSnapshot(step, epoch, batches, weights, "output", trainer.global_rank)
    step_snapshot.write(snapshot, place.folder)
    return NonFiniteStep(str(bad), step, epoch, 0, exact=True, lasting=True, findings=bad.findings)


def _health_monitor(trainer: Trainer) -> HealthMonitor:
    return next(c for c in trainer.callbacks if isinstance(c, HealthMonitor))  # type: ignore[attr-defined]


def _roll_back(
    place: Run, settings: DiagnosticsSettings, doctor: HealthMonitor, bad: NonFiniteStep, steps_per_epoch: int
) -> State | None:
    """Roll back to a state before the event; the batches around it are excluded, the learning rate is lowered."""
    row = [
        s for s in doctor.skipped if s["epoch"] == bad.epoch and s["step"] > bad.step - settings.in_a_row - 1
    ]
    first = min((s["batch"] for s in row), default=bad.batch)
    behind = math.ceil(settings.window * steps_per_epoch)
    state = resume.roll_back(place.checkpoints, bad.step - settings.margin)
    event = {"step": bad.step, "epoch": bad.epoch, "batch": bad.batch, "what": bad.what}
    event |= {"to_step": 0 if state is None else state.step, "rate_factor": settings.rate_factor}
    changes = {
        "rollbacks": [*doctor.rollbacks, event],
        "passed": [*doctor.passed, (bad.epoch, max(0, first - 1), bad.batch + behind)],
    }
    write_json(recovery_file(place.folder), changes)
    console.print(
        f"doctor: {bad}; rolling back to step {event['to_step']}, excluding batches {max(0, first - 1) + 1} to "
        f"{bad.batch + behind + 1} of epoch {bad.epoch + 1}, learning rate x {settings.rate_factor:g}"
    )
    return state


def _stopped(
    made: Experiment,
    module: LightningModule,
    trainer: Trainer,
    place: Run,
    bad: NonFiniteStep,
) -> NonFinite:
    """The error that ends the run, with the diagnosis: what happened, where, and what to try."""
    (found,) = bad.findings or (_origin(made, module, trainer, place),)
    log_findings(trainer.loggers, [found.to_dict()], place.command(), bad.step)
    checkpoint = TrainingOutcome(trainer, module, False, ()).checkpoint
    best = {**checkpoint.best, "checkpoint": "checkpoints/best.ckpt"} if checkpoint.best else {}
    return NonFinite(found.message, (found,), best)


def _findings(made: Experiment, module: LightningModule, trainer: Trainer, place: Run) -> tuple[Finding, ...]:
    """The findings about a training that has ended."""
    if not trainer.is_global_zero or made.health.on_bad == "ignore":
        return ()
    recovered = _recovered(made, module, trainer, place)
    if isinstance(module, Untrained):
        return recovered  # at rate 0 on purpose: there was no training to judge
    found = _health_monitor(trainer).training_monitor.findings(_facts(made), recovered)
    return tuple(fill_in(finding, made.config.optimizer, made.config.trainer) for finding in found)


def _facts(made: Experiment) -> ValidationFacts:
    """What the validation split holds."""
    data, names = made.data, made.data.spec.target_names
    targets = data.table.index.targets[data.splits.val]
    kind = made.task.kind
    shares: list[float] = []
    if kind == "labels" and len(targets):
        shares = targets.mean(axis=0).tolist()
    elif kind == "classes":
        counts = np.bincount(targets, minlength=len(names))
        shares = (counts / max(1, counts.sum())).tolist()
    return ValidationFacts(shares, len(targets), names, kind)


def _recovered(
    made: Experiment, module: LightningModule, trainer: Trainer, place: Run
) -> tuple[Finding, ...]:
    """The finding about a run that continued after bad steps: which were skipped, and why."""
    doctor = _health_monitor(trainer)
    if not doctor.skipped:
        return ()
    found = _origin(made, module, trainer, place)
    n, back = len(doctor.skipped), len(doctor.rollbacks)
    did = f"{plural(n, 'bad step')} skipped" + (f", {back} rolled back" if back else "")
    evidence = {**found.evidence, "skipped": doctor.skipped, "rollbacks": doctor.rollbacks}
    message = f"{did}; the first: {found.message}"
    return (
        Finding(
            "recovered",
            "warning",
            message,
            found.where,
            found.advice,
            evidence,
            found.step,
        ),
    )


def _origin(made: Experiment, module: LightningModule, trainer: Trainer, place: Run) -> Finding:
    return replay.diagnose(place.folder, made.config, module, trainer, made.data)
