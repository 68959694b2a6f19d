"""The health monitor: checks loss and gradients of every step between the backward pass and the optimizer step.

The overhead per step is small: on a CPU one norm over all gradients. On a GPU, reading the norm would synchronise with
the device, so values stay there and are read every 16 steps; if one is not finite, the run is resumed from its last
checkpoint and every step is checked (`training.recovery`), so the step is located exactly.

The gradients of a skipped step are set to None: multiplied by 0 a NaN stays NaN, and with zero gradients Adam still
updates the weights.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LastCallback
from torch import Tensor
from torch.optim import Optimizer

from leyden.health import step_rules, step_snapshot
from leyden.health.epoch_stats import EpochStats
from leyden.health.findings import Finding
from leyden.health.settings import DiagnosticsSettings
from leyden.health.step_snapshot import RecordedBatch, StepSnapshot
from leyden.health.training_monitor import TrainingMonitor
from leyden.optim.gradients import (
    AdaptiveClip,
    are_weights_finite,
    gradient_norm,
    learning_rate,
    scale_rates,
    total_loss,
)
from leyden.utils.lightning_internals import only_own_hooks
from leyden.utils.random_state import torch_rng

_RECENT = 1000  # steps over which the share of bad steps is computed
_FEWEST = 10  # bad steps before their share is used
_READ_EVERY = 16  # steps, on a GPU
_MAX_SCALER_SKIPS = 25  # consecutive steps skipped by the gradient scaler: the scale has fallen by 2**25
_ADAPT_AFTER = 32  # steps over which the overhead of the monitor is measured
_MAX_OVERHEAD = 0.02  # share of the time above which gradients are checked half as often
_MAX_INTERVAL = 16  # steps between two checks of the gradients


class NonFiniteStep(Exception):
    """A step's loss or gradient is not finite, and the run cannot continue without intervention.

    Args:
        what: what is not finite: "loss", "gradient", ...
        step: optimizer steps recorded before it, or before it was detected.
        epoch: epoch index, from 0.
        batch: index of the batch in the epoch.
        exact: whether `step` is the first bad step; else that is up to `_READ_EVERY` steps earlier.
        lasting: whether skipping has failed.
        findings: what is known of it without a replay of the step.
    """

    def __init__(
        self,
        what: str,
        step: int,
        epoch: int,
        batch: int,
        exact: bool,
        lasting: bool = False,
        findings: tuple[Finding, ...] = (),
    ) -> None:
        super().__init__(f"{what} at step {step}")
        self.what, self.step, self.epoch, self.batch = what, step, epoch, batch
        self.exact, self.lasting, self.findings = exact, lasting, findings


@only_own_hooks
class HealthMonitor(LastCallback):
    """Detects non-finite steps, writes a step snapshot, and skips the step if the settings say so.

    Args:
        settings: reaction to non-finite steps, and thresholds.
        folder: folder of the run.
        exact: check every step even if that synchronises with the device.
    """

    def __init__(self, settings: DiagnosticsSettings, folder: Path, exact: bool = False) -> None:
        self.settings, self.folder, self._force_exact = settings, folder, exact
        self.exact = True
        self.skipped: list[dict[str, Any]] = []
        self.passed: list[tuple[int, int, int]] = []  # excluded: (epoch, first batch, last batch)
        self.rollbacks: list[dict[str, Any]] = []
        self._window: list[RecordedBatch] = []
        self._losses: list[Tensor] = []
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._scaler_skips = 0
        self._clip = None if settings.adaptive_clip is None else AdaptiveClip(settings.adaptive_clip)
        self._waiting: list[Tensor] = []  # (loss, norm) on the device, of steps not read yet
        self._buffers: list[Tensor] = []
        self._saved_buffers: list[Tensor] = []
        self._every, self._last_norm, self._last_checked = 1, 0.0, -1
        self._overhead, self._steps, self._since = 0.0, 0, time.perf_counter()
        self._monitor: TrainingMonitor | None = None
        self._waited = 0.0

    # --- Lightning's hooks, in the order of a step ---

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the training monitor; resuming fills it, also if no epoch is left to train."""
        if stage == "fit":
            self._monitor = TrainingMonitor(self.settings, pl_module, trainer.gradient_clip_val or None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decide whether every step is checked, and keep a copy of the buffers to undo a bad batch."""
        on_cpu = trainer.strategy.root_device.type == "cpu"
        self.exact = on_cpu or self._force_exact or self.settings.changes_training
        self._buffers = [b for b in pl_module.buffers() if b.numel()] if self.settings.skips_bad_steps else []
        self._saved_buffers = [b.detach().clone() for b in self._buffers]
        self._window, self._losses, self._waiting = [], [], []
        self._since = time.perf_counter()

    @property
    def training_monitor(self) -> TrainingMonitor:
        """Statistics of this training; available once a fit has begun."""
        assert self._monitor is not None
        return self._monitor

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._waited = _data_seconds(trainer)
        self.training_monitor.begin_epoch()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record batch and random state of the step, and save the buffers at its first batch."""
        if self._buffers and not self._window:
            torch._foreach_copy_(self._saved_buffers, self._buffers)
        self._window.append(RecordedBatch(batch, batch_idx, torch_rng()))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Record the loss of each batch of the step."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Check loss and gradients before the optimizer step."""
        began = time.perf_counter()
        window, losses, self._window, self._losses = self._window, self._losses, [], []
        loss = total_loss(losses)
        if not self.exact:
            self._check_later(trainer, pl_module, optimizer, loss, window)
            return
        if self._every == 1 or trainer.global_step % self._every == 0:
            self._last_norm, self._last_checked = float(gradient_norm(optimizer)), trainer.global_step
        self._check(trainer, pl_module, optimizer, float(loss), self._last_norm, window)
        self._adapt(began)

    def _adapt(self, began: float) -> None:
        """Check gradients less often if the overhead is too large; the loss is checked in every step."""
        now = time.perf_counter()
        self._overhead += now - began
        self._steps += 1
        if self._steps < _ADAPT_AFTER:
            return
        share = self._overhead / (now - self._since)
        if not (self._force_exact or self.settings.changes_training):
            self._every = min(2 * self._every, _MAX_INTERVAL) if share > _MAX_OVERHEAD else self._every
        self._overhead, self._steps, self._since = 0.0, 0, now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the weights: no further step before the validation would detect a bad last update."""
        if trainer.state.fn != "fit":
            return
        self.training_monitor.pause()
        self._check_waiting(trainer, pl_module, trainer.global_step - 1, batch=0)
        if are_weights_finite(pl_module):
            return
        step, epoch = trainer.global_step, trainer.current_epoch
        weights = {k: v.detach().clone() for k, v in pl_module.state_dict().items()}
        step_snapshot.write(StepSnapshot(step, epoch, (), weights, "model", trainer.global_rank), self.folder)
        raise NonFiniteStep("the weights are not finite", step, epoch, 0, exact=True, lasting=True)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Start activation statistics on the first validation batch."""
        if batch_idx == 0 and trainer.state.fn == "fit":
            self.training_monitor.start_probe()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop activation statistics after the first validation batch."""
        if batch_idx == 0 and trainer.state.fn == "fit":
            self.training_monitor.stop_probe()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Summarise the predictions; a checkpoint may come before the end of the epoch."""
        kept: Any = getattr(pl_module, "evaluations", {}).get("val")
        if kept is not None and trainer.state.fn == "fit" and hasattr(pl_module, "prediction_summary"):
            self.training_monitor.predicted = pl_module.prediction_summary(kept.outputs)  # type: ignore[operator]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the epoch's statistics, before the checkpoint that stores them, and log them."""
        scalars = {name: float(value) for name, value in trainer.callback_metrics.items()}
        waited = _data_seconds(trainer) - self._waited
        epoch = self.training_monitor.end_epoch(trainer.global_step, scalars, waited)
        for logger in trainer.loggers:
            logger.log_metrics(_epoch_scalars(epoch), step=trainer.global_step)

    def on_ready(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply rollbacks: exclude their batches, and lower the learning rate once for each new one."""
        recovery = step_snapshot.read_recovery(self.folder)
        rollbacks = recovery.get("rollbacks", [])
        for event in rollbacks[len(self.rollbacks) :]:
            for optimizer in trainer.optimizers:
                scale_rates(optimizer.param_groups, event["rate_factor"])
            for config in trainer.lr_scheduler_configs:
                scale_rates([vars(config.scheduler)], event["rate_factor"])
        self.rollbacks = rollbacks
        self.passed = [tuple(interval) for interval in recovery.get("passed", [])]

    # --- checks and reactions ---

    def _check(
        self,
        trainer: Trainer,
        module: LightningModule,
        optimizer: Optimizer,
        loss: float,
        norm: float,
        window: list[RecordedBatch],
    ) -> None:
        what = self._non_finite(trainer, loss, norm)
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(bool(what), all=False):
            what = what or "another rank's loss"
        if self._is_excluded(trainer, window):
            self._skip(optimizer)
        elif what:
            self._react(trainer, module, optimizer, what, window)
        else:
            self._recent.append(False)
            self.training_monitor.before_step(trainer.global_step, learning_rate(optimizer))
            self._record(module, trainer.global_step, loss, norm)
            if self._clip is not None:
                self._clip(optimizer, norm)

    def _non_finite(self, trainer: Trainer, loss: float, norm: float) -> str:
        """What is not finite: "loss", "gradient", or "" if both are finite."""
        if not math.isfinite(loss):
            return "loss"
        if not math.isfinite(norm):
            return "" if self._is_handled_by_scaler(trainer) else "gradient"
        self._scaler_skips = 0
        return ""

    def _record(self, module: LightningModule, step: int, loss: float, norm: float) -> None:
        """Record a good step; check the first loss where its expected value is known."""
        self.training_monitor.record(step, loss, norm)
        has_penalty = getattr(module, "l1", 0.0) != 0  # which the loss includes
        if step > 0 or has_penalty:
            return
        name = type(getattr(module, "loss_fn", None)).__name__
        outputs = len(getattr(module, "target_names", ()))
        expected = step_rules.expected_loss(name, outputs, self.settings)
        if expected is not None:
            self.training_monitor.found += step_rules.initial_loss(loss, expected)

    def _react(
        self,
        trainer: Trainer,
        module: LightningModule,
        optimizer: Optimizer,
        what: str,
        window: list[RecordedBatch],
    ) -> None:
        step, epoch, batch = trainer.global_step, trainer.current_epoch, window[-1].index if window else 0
        if not self.skipped and not what.startswith("another"):
            weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
            snapshot = StepSnapshot(step, epoch, tuple(window), weights, what, trainer.global_rank)
            step_snapshot.write(snapshot, self.folder)
        if not self.settings.skips_bad_steps:
            is_unchecked = (
                self._last_checked < step - 1 and self._every > 1 and not are_weights_finite(module)
            )
            raise NonFiniteStep(what, step, epoch, batch, exact=not is_unchecked)
        self._skip(optimizer)
        self._recent.append(True)
        self.skipped.append({"step": step, "epoch": epoch, "batch": batch, "what": what})
        if self._has_skipping_failed() or not are_weights_finite(module):
            raise NonFiniteStep(what, step, epoch, batch, exact=True, lasting=True)

    def _skip(self, optimizer: Optimizer) -> None:
        """Skip the step: without gradients no optimizer updates or decays weights. Restores the buffers."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._saved_buffers)

    def _has_skipping_failed(self) -> bool:
        row = list(self._recent)[-self.settings.in_a_row :]
        if len(row) == self.settings.in_a_row and all(row):
            return True
        bad = sum(self._recent)
        return bad >= _FEWEST and bad > self.settings.share * len(self._recent)

    def _is_excluded(self, trainer: Trainer, window: list[RecordedBatch]) -> bool:
        """Whether a batch of the step is excluded by a rollback."""
        epoch = trainer.current_epoch
        return any(
            e == epoch and first <= recorded.index <= last
            for e, first, last in self.passed
            for recorded in window
        )

    def _is_handled_by_scaler(self, trainer: Trainer) -> bool:
        """Whether a gradient scaler handles the step: it skips by itself and halves the scale."""
        if getattr(trainer.precision_plugin, "scaler", None) is None:
            return False
        self._scaler_skips += 1
        return self._scaler_skips < _MAX_SCALER_SKIPS

    # --- delayed checks, on a device that should not be synchronised ---

    def _check_later(
        self,
        trainer: Trainer,
        module: LightningModule,
        optimizer: Optimizer,
        loss: Tensor,
        window: list[RecordedBatch],
    ) -> None:
        self.training_monitor.before_step(trainer.global_step, learning_rate(optimizer))
        norm = gradient_norm(optimizer).float()
        self._waiting.append(torch.stack((loss.to(norm), norm)))
        if len(self._waiting) == _READ_EVERY:
            self._check_waiting(trainer, module, trainer.global_step, window[-1].index)

    def _check_waiting(self, trainer: Trainer, module: LightningModule, step: int, batch: int) -> None:
        """Check the steps waiting on the device, up to `step`: one copy to the host, one synchronisation."""
        if not self._waiting:
            return
        values, self._waiting = torch.stack(self._waiting).tolist(), []
        bad = any([self._non_finite(trainer, loss, norm) for loss, norm in values])
        if trainer.world_size > 1:
            bad = trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            raise NonFiniteStep("loss or gradient", step, trainer.current_epoch, batch, exact=False)
        for number, (loss, norm) in enumerate(values, step + 1 - len(values)):
            self._record(module, number, loss, norm)

    # --- checkpoints ---

    def state_dict(self) -> dict[str, Any]:
        """Skipped steps, rollbacks, recent bad steps, norm statistics and the training monitor's state."""
        return {
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "recent": list(self._recent),
            "norm": None if self._clip is None else self._clip.state,
            "monitor": self.training_monitor.state(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.skipped = list(state_dict["skipped"])
        self.training_monitor.load(state_dict["monitor"])
        self.rollbacks = list(state_dict["rollbacks"])
        if self._clip is not None:
            self._clip.state = tuple(state_dict["norm"])
        self._recent = deque(state_dict["recent"], maxlen=_RECENT)


def _data_seconds(trainer: Trainer) -> float:
    """Seconds that steps have waited for data so far; 0 for a custom loader."""
    return float(getattr(trainer.train_dataloader, "seconds", 0.0))


def _epoch_scalars(epoch: EpochStats) -> dict[str, float]:
    """Statistics of an epoch by name, for the loggers."""
    values = {"health/data_wait": epoch.waiting}
    values |= {f"health/update_ratio/{layer}": ratio for layer, ratio in epoch.update.items()}
    values |= {f"health/gradient/{layer}": norm for layer, norm in epoch.gradient.items()}
    return values | {f"health/dead/{layer}": share for layer, share in epoch.dead.items()}
