"""The doctor at the bedside: looks at every loss and gradient between the backward pass and the step.

What it must do in every step is little: on a CPU one norm over all gradients, whose value is at hand. On a GPU
reading it would halt the queue, so values are kept on the device and read every so many steps; when one is bad by
then, the run goes back to its last checkpoint and looks at every step (`training.recovery`), so the place is exact.

Gradients of a bad step are dropped before the optimizer sees them: multiplied by 0 a NaN stays NaN, and a gradient of
zeros still moves Adam.
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
from leyden.health.epoch_rules import EpochStats
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

_LAST = 1000  # steps over which the share of bad ones is taken
_FEWEST = 10  # bad steps of those, before a share means anything
_READ_EVERY = 16  # steps, on a GPU
_SCALER_IN_A_ROW = 25  # steps without one that 16-bit floats could hold: the scale has fallen by 2**25
_ADAPT_AFTER = 32  # steps over which the doctor's own share of the time is taken
_SHARE = 0.02  # of it, above which gradients are looked at half as often
_MOST_APART = 16  # steps


class NonFiniteStep(Exception):
    """A step's loss or gradient was not finite, and the run cannot go on as it is.

    Args:
        step: optimizer steps taken before it, or before it was noticed.
        exact: whether `step` is the one; else it lies up to `_READ_EVERY` steps back.
        lasting: it is no single batch: skipping did not help.
    """

    def __init__(
        self, what: str, step: int, epoch: int, batch: int, exact: bool, lasting: bool = False
    ) -> None:
        super().__init__(f"{what} at step {step}")
        self.what, self.step, self.epoch, self.batch = what, step, epoch, batch
        self.exact, self.lasting = exact, lasting


@only_own_hooks
class HealthMonitor(LastCallback):
    """Finds what is not finite, keeps the black box, and skips where that is asked for.

    Args:
        policy: what to do.
        folder: of the run.
        exact: whether to look at every step also where that halts the device.
    """

    def __init__(self, policy: DiagnosticsSettings, folder: Path, exact: bool = False) -> None:
        self.policy, self.folder, self._asked_exact = policy, folder, exact
        self.exact = True
        self.skipped: list[dict[str, Any]] = []
        self.passed: list[tuple[int, int, int]] = []  # (epoch, first batch, last batch) that are passed over
        self.rollbacks: list[dict[str, Any]] = []
        self._window: list[RecordedBatch] = []
        self._losses: list[Tensor] = []
        self._recent: deque[bool] = deque(maxlen=_LAST)
        self._scaled_away = 0
        self._clip = None if policy.adaptive_clip is None else AdaptiveClip(policy.adaptive_clip)
        self._waiting: list[Tensor] = []  # (loss, norm) of steps that are not read yet
        self._buffers: list[Tensor] = []
        self._kept: list[Tensor] = []
        self._every, self._last_norm, self._last_checked = 1, 0.0, -1
        self._own, self._steps, self._since = 0.0, 0, time.perf_counter()
        self._chart: TrainingMonitor | None = None
        self._waited = 0.0

    # --- Lightning's hooks, in the order of a step ---

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """An empty chart; a resume fills it, also where nothing is left to train."""
        if stage == "fit":
            self._chart = TrainingMonitor(self.policy, pl_module, trainer.gradient_clip_val or None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Whether a value can be read without halting a queue; which buffers a bad batch would spoil."""
        on_cpu = trainer.strategy.root_device.type == "cpu"
        self.exact = on_cpu or self._asked_exact or self.policy.changes_training
        self._buffers = [b for b in pl_module.buffers() if b.numel()] if self.policy.skips_bad_steps else []
        self._kept = [b.detach().clone() for b in self._buffers]
        self._window, self._losses, self._waiting = [], [], []
        self._since = time.perf_counter()

    @property
    def training_monitor(self) -> TrainingMonitor:
        """What has been seen. Only where a fit has begun."""
        assert self._chart is not None
        return self._chart

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock starts."""
        self._waited = _seconds_of(trainer)
        self.training_monitor.begin_epoch()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note what the step is made of."""
        if self._buffers and not self._window:
            torch._foreach_copy_(self._kept, self._buffers)
        self._window.append(RecordedBatch(batch, batch_idx, torch_rng()))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Keep the loss of each batch of the step."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Loss and gradient are there, nothing is done with them yet: judge them."""
        began = time.perf_counter()
        window, losses, self._window, self._losses = self._window, self._losses, [], []
        loss = total_loss(losses)
        if not self.exact:
            self._later(trainer, pl_module, optimizer, loss, window)
            return
        if self._every == 1 or trainer.global_step % self._every == 0:
            self._last_norm, self._last_checked = float(gradient_norm(optimizer)), trainer.global_step
        self._judge(trainer, pl_module, optimizer, float(loss), self._last_norm, window)
        self._adapt(began)

    def _adapt(self, began: float) -> None:
        """Where steps are short, look at gradients less often: loss is looked at in every step all the same."""
        now = time.perf_counter()
        self._own += now - began
        self._steps += 1
        if self._steps < _ADAPT_AFTER:
            return
        share = self._own / (now - self._since)
        if not (self._asked_exact or self.policy.changes_training):
            self._every = min(2 * self._every, _MOST_APART) if share > _SHARE else self._every
        self._own, self._steps, self._since = 0.0, 0, now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last step before a validation has no other that would notice what it did to the weights."""
        if trainer.state.fn != "fit":
            return
        self.training_monitor.pause()
        self._read(trainer, pl_module, trainer.global_step - 1, batch=0)
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
        """Into the first batch the chart looks more closely."""
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
        """No more than the first."""
        if batch_idx == 0 and trainer.state.fn == "fit":
            self.training_monitor.stop_probe()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch's line in the chart; before the checkpoint, which holds it."""
        scalars = {name: float(value) for name, value in trainer.callback_metrics.items()}
        waited = _seconds_of(trainer) - self._waited
        kept = getattr(pl_module, "evaluations", {}).get("val")
        shares: Any = getattr(pl_module, "predicted_shares", None)
        predicted = [] if kept is None or shares is None else shares(kept.outputs)
        epoch = self.training_monitor.end_epoch(trainer.global_step, scalars, predicted, waited)
        for logger in trainer.loggers:
            logger.log_metrics(_shown(epoch), step=trainer.global_step)

    def on_ready(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What a rollback has changed holds from here on; the learning rate is lowered once for each."""
        changed = step_snapshot.read_recovery(self.folder)
        rollbacks = changed.get("rollbacks", [])
        for event in rollbacks[len(self.rollbacks) :]:
            for optimizer in trainer.optimizers:
                scale_rates(optimizer.param_groups, event["rate_factor"])
            for config in trainer.lr_scheduler_configs:
                scale_rates([vars(config.scheduler)], event["rate_factor"])
        self.rollbacks = rollbacks
        self.passed = [tuple(stretch) for stretch in changed.get("passed", [])]

    # --- judgement ---

    def _judge(
        self,
        trainer: Trainer,
        module: LightningModule,
        optimizer: Optimizer,
        loss: float,
        norm: float,
        window: list[RecordedBatch],
    ) -> None:
        what = self._what(trainer, loss, norm)
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(bool(what), all=False):
            what = what or "another rank's loss"
        if self._to_be_passed(trainer, window):
            self._drop(optimizer)
        elif what:
            self._bad(trainer, module, optimizer, what, window)
        else:
            self._recent.append(False)
            self.training_monitor.before_step(trainer.global_step, learning_rate(optimizer))
            self._note(module, trainer.global_step, loss, norm)
            if self._clip is not None:
                self._clip(optimizer, norm)

    def _what(self, trainer: Trainer, loss: float, norm: float) -> str:
        """What is not finite: "loss", "gradient" or ""."""
        if not math.isfinite(loss):
            return "loss"
        if not math.isfinite(norm):
            return "" if self._scaler_does(trainer) else "gradient"
        self._scaled_away = 0
        return ""

    def _note(self, module: LightningModule, step: int, loss: float, norm: float) -> None:
        """Into the chart; of plain cross-entropy the first loss is known beforehand."""
        self.training_monitor.record(step, loss, norm)
        if step > 0:
            return
        plain = type(getattr(module, "loss_fn", None)).__name__ == "CrossEntropy"
        if plain and not getattr(module, "l1", 0):
            classes = len(getattr(module, "target_names", ()))
            self.training_monitor.found += step_rules.initial_loss(loss, classes, self.policy)

    def _bad(
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
            box = StepSnapshot(step, epoch, tuple(window), weights, what, trainer.global_rank)
            step_snapshot.write(box, self.folder)
        if not self.policy.skips_bad_steps:
            unseen = self._last_checked < step - 1 and self._every > 1 and not are_weights_finite(module)
            raise NonFiniteStep(what, step, epoch, batch, exact=not unseen)
        self._drop(optimizer)
        self._recent.append(True)
        self.skipped.append({"step": step, "epoch": epoch, "batch": batch, "what": what})
        if self._too_many() or not are_weights_finite(module):
            raise NonFiniteStep(what, step, epoch, batch, exact=True, lasting=True)

    def _drop(self, optimizer: Optimizer) -> None:
        """Take no step: without gradients no optimizer moves, nor decays. The buffers become what they were."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._kept)

    def _too_many(self) -> bool:
        row = list(self._recent)[-self.policy.in_a_row :]
        if len(row) == self.policy.in_a_row and all(row):
            return True
        bad = sum(self._recent)
        return bad >= _FEWEST and bad > self.policy.share * len(self._recent)

    def _to_be_passed(self, trainer: Trainer, window: list[RecordedBatch]) -> bool:
        """Whether the step lies in a stretch that a rollback has left out."""
        epoch = trainer.current_epoch
        return any(
            e == epoch and first <= taken.index <= last for e, first, last in self.passed for taken in window
        )

    def _scaler_does(self, trainer: Trainer) -> bool:
        """Whether a gradient scaler is at work, which skips the step by itself and halves the scale."""
        if getattr(trainer.precision_plugin, "scaler", None) is None:
            return False
        self._scaled_away += 1
        return self._scaled_away < _SCALER_IN_A_ROW

    # --- on a device whose queue should not halt ---

    def _later(
        self,
        trainer: Trainer,
        module: LightningModule,
        optimizer: Optimizer,
        loss: Tensor,
        window: list[RecordedBatch],
    ) -> None:
        self.training_monitor.before_step(trainer.global_step, learning_rate(optimizer))
        self._waiting.append(torch.stack((loss.float(), gradient_norm(optimizer).float())))
        if len(self._waiting) == _READ_EVERY:
            self._read(trainer, module, trainer.global_step, window[-1].index)

    def _read(self, trainer: Trainer, module: LightningModule, step: int, batch: int) -> None:
        """What waits on the device, up to `step`: one copy to the host, which halts the queue once."""
        if not self._waiting:
            return
        values, self._waiting = torch.stack(self._waiting).tolist(), []
        bad = any([self._what(trainer, loss, norm) for loss, norm in values])
        if trainer.world_size > 1:
            bad = trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            raise NonFiniteStep("loss or gradient", step, trainer.current_epoch, batch, exact=False)
        for place, (loss, norm) in enumerate(values, step + 1 - len(values)):
            self._note(module, place, loss, norm)

    # --- what a resume needs ---

    def state_dict(self) -> dict[str, Any]:
        """What has been done so far."""
        return {
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "recent": list(self._recent),
            "norm": None if self._clip is None else self._clip.state,
            "chart": self.training_monitor.state(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take that up."""
        self.skipped = list(state_dict["skipped"])
        self.training_monitor.load(state_dict["chart"])
        self.rollbacks = list(state_dict["rollbacks"])
        if self._clip is not None:
            self._clip.state = tuple(state_dict["norm"])
        self._recent = deque(state_dict["recent"], maxlen=_LAST)


def _seconds_of(trainer: Trainer) -> float:
    """For which steps have waited for their data so far; 0 with a loader of one's own."""
    return float(getattr(trainer.train_dataloader, "seconds", 0.0))


def _shown(epoch: EpochStats) -> dict[str, float]:
    """The chart's line for the loggers."""
    values = {"health/data_wait": epoch.waiting}
    values |= {f"health/update_ratio/{layer}": ratio for layer, ratio in epoch.update.items()}
    values |= {f"health/gradient/{layer}": norm for layer, norm in epoch.gradient.items()}
    return values | {f"health/dead/{layer}": share for layer, share in epoch.dead.items()}
