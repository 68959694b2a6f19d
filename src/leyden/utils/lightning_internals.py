"""Lightning's loops with additional hooks at consistent states: a checkpoint saved in them resumes exactly.

Lightning 2.6.6 calls its own hooks before a step or epoch is finished. After `on_train_batch_end` it still logs the
step's values, validates and advances the learning-rate schedule; after `on_train_epoch_end` it still steps
ReduceLROnPlateau and logs the epoch. A checkpoint saved in such a hook lacks these updates, and resuming does not
repeat them. Leyden's callbacks may therefore define

    on_ready(trainer, module)       just before the first batch, of a new or of a resumed training
    on_step_done(trainer)           after an optimizer step and the validation after it, if there are more steps
    on_epoch_done(trainer)          after an epoch and everything that Lightning does at its end

This module also holds every other use of undocumented behaviour of Lightning and torchmetrics; hence
`lightning>=2.6.6,<2.7`. tests/utils/test_lightning_internals.py fails when a workaround is no longer needed.
"""

import subprocess
import threading
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultCollection, _ResultMetric
from torchmetrics import Metric

from leyden.utils.training_step import TRAINING_HOOKS, DirectStep


def install_loops(trainer: Trainer) -> None:
    """Replace the loops of a new Trainer by `FitLoop` and `EpochLoop`."""
    before: Any = trainer.fit_loop
    trainer.fit_loop = FitLoop(trainer, before.min_epochs, before.max_epochs)
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, before.epoch_loop.min_steps, before.epoch_loop.max_steps)


class FitLoop(_FitLoop):
    """The loop over epochs."""

    def setup_data(self) -> None:
        """Set up the data, then restore the loader's position even if the data were set up before the checkpoint load.

        A module that reads `trainer.estimated_stepping_batches` causes this order (Lightning #20550).
        """
        super().setup_data()
        if self._combined_loader_states_to_load and self._combined_loader is not None:
            self._combined_loader._load_state_dicts(self._combined_loader_states_to_load)
            self._combined_loader_states_to_load = []

    def reset(self) -> None:
        """Clear the restart flag if the checkpoint was saved between two epochs, also with `max_steps`."""
        if self.epoch_progress.current.ready == self.epoch_progress.current.completed:
            _Loop.restarting.fset(self, False)  # type: ignore[attr-defined]
        super().reset()

    def on_run_start(self) -> None:
        """Call `on_ready` of the callbacks after every `on_train_start`."""
        super().on_run_start()
        _call_hook(self.trainer, "on_ready", self.trainer.lightning_module)

    def on_advance_end(self) -> None:
        """Call `on_epoch_done` of the callbacks after all of Lightning's work at the end of an epoch."""
        self._restarting = False  # else ReduceLROnPlateau is skipped in a resumed epoch
        super().on_advance_end()
        _call_hook(self.trainer, "on_epoch_done")


class EpochLoop(_TrainingEpochLoop):
    """The loop over batches."""

    def __init__(self, trainer: Trainer, min_steps: int | None, max_steps: int) -> None:
        super().__init__(trainer, min_steps, max_steps)
        self._results = Logged()
        self._direct: DirectStep | None = None

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        """See what a step needs, in this epoch."""
        super().on_run_start(data_fetcher)
        self._direct = DirectStep.of(self.trainer)

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """Run the next batch; no checkpoint is saved during validation, so none is repeated or skipped."""
        self._restarting = False
        if self._direct is None:
            super().advance(data_fetcher)
        else:
            self._train_on(self._direct, data_fetcher)

    def _train_on(self, step: DirectStep, data_fetcher: _DataFetcher) -> None:
        """What `super().advance` does, less what has no effect where a `DirectStep` serves."""
        progress, connector = self.batch_progress, self.trainer._logger_connector
        self.val_loop.restarting = False
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        batch = step.to_device(batch)
        progress.increment_ready()
        connector.on_batch_start(batch)
        step.call("on_train_batch_start", batch, index)
        progress.increment_started()
        outputs = step.run(batch, index)
        progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        step.call("on_train_batch_end", outputs, batch, index)
        logs = any(metric.meta.on_step for metric in self._results.values())
        if logs:
            connector.on_batch_end()
        else:
            self._results.batch = self._results.batch_size = None
        progress.increment_completed()
        if logs:
            connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        """Call `on_step_done` of the callbacks after any validation, unless the epoch ends with this batch."""
        super().on_advance_end(data_fetcher)
        if not self._should_accumulate() and not self.done:
            _call_hook(self.trainer, "on_step_done")


class Logged(_ResultCollection):
    """The values accumulated by `self.log` in the current epoch, which Lightning does not save in a checkpoint."""

    def __init__(self) -> None:
        super().__init__(training=True)
        self._waiting: dict[str, dict[str, Any]] = {}

    def sums(self) -> dict[str, dict[str, Any]]:
        """Return the accumulated sums by key; the state of torchmetrics objects is saved separately."""
        return {
            key: {name: getattr(metric, name) for name in _sum_attributes(metric)}
            for key, metric in self.items()
            if not metric.has_reset
        }

    def await_keys(self, sums: dict[str, dict[str, Any]]) -> None:
        """Restore these sums, each when its key is logged for the first time."""
        self._waiting = dict(sums)

    def __setitem__(self, key: str, metric: _ResultMetric) -> None:
        for name, value in self._waiting.pop(key, {}).items():
            setattr(metric, name, value)
        super().__setitem__(key, metric)


def _sum_attributes(metric: _ResultMetric) -> tuple[str, ...]:
    """Return the names of the attributes that hold a metric's sums."""
    if not metric.is_tensor:
        return ()
    mean = ("cumulated_batch_size",) if metric.meta.is_mean_reduction else ()
    return ("value", "_update_count", *mean)


def _call_hook(trainer: Trainer, hook: str, *arguments: Any) -> None:
    """Call `hook` of every callback that defines it, in order."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, hook):
            getattr(callback, hook)(trainer, *arguments)


# --- lower overhead per step ---

_BATCH_HOOKS = (
    *TRAINING_HOOKS,
    *("on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start", "on_test_batch_end"),
)

T = TypeVar("T", bound=type[Callback])


def only_own_hooks(cls: T) -> T:
    """Class decorator that removes the per-batch hooks that a callback class only inherits."""
    for name in _BATCH_HOOKS:
        if getattr(cls, name) is getattr(Callback, name):
            setattr(cls, name, None)
    return cls


class FastAttributes:
    """Mixin before LightningModule that makes setting `_current_fx_name` cheap.

    Lightning sets this name of the current hook some forty times per step, and torch's `Module.__setattr__`
    searches parameters and modules each time.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute as torch does, except `_current_fx_name`, which goes directly into `__dict__`."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)


# --- state that Lightning's checkpoints do not contain ---


def logged_sums(trainer: Trainer) -> Logged:
    """Return the values accumulated by `self.log` in this epoch, for a Trainer with Leyden's loops."""
    found: Logged = trainer.fit_loop.epoch_loop._results  # type: ignore[assignment]
    return found


def metric_state(metric: Metric) -> dict[str, Any]:
    """Return the state of a torchmetrics object, which is not part of a state_dict."""
    return {name: getattr(metric, name) for name in (*metric._defaults, "_update_count")}


def set_metric_state(metric: Metric, state: dict[str, Any]) -> None:
    """Restore a state that `metric_state` returned."""
    for name, value in state.items():
        setattr(metric, name, _to(value, metric.device))
    metric._computed = None


def _to(value: Any, device: torch.device) -> Any:
    """Move a tensor, or a list of tensors, to a device."""
    if isinstance(value, list):
        return [_to(part, device) for part in value]
    return value.to(device) if torch.is_tensor(value) else value


# --- other ranks ---


def processes_of_other_ranks() -> list[subprocess.Popen[bytes]]:
    """Return the processes that Lightning has started, and detach them from its observer thread, which then ends.

    That thread would kill this process with SIGKILL seconds after the failure of another.
    """
    found: list[subprocess.Popen[bytes]] = []
    for observer in threading.enumerate():
        if observer.name == "child-process-observer":
            others: list[subprocess.Popen[bytes]] = getattr(observer, "_child_processes", [])
            found += others
            others[:] = []
    return found
