"""Lightning's loops, with moments at which nothing is half done: where a state is saved, it can be taken up exactly.

Lightning 2.6.6 calls its hooks in the middle of things. After `on_train_batch_end` it still logs the step's values,
validates and moves the schedule on; after `on_train_epoch_end` it still steps ReduceLROnPlateau and logs the epoch. A
state saved in a hook lacks what comes after it, and a resumed run never makes up for it. So Leyden's callbacks may have

    on_ready(trainer, module)       training is about to begin, or to go on: the last moment before the first batch
    on_step_done(trainer)           an optimizer step is over, with a validation that followed, and another will come
    on_epoch_done(trainer)          an epoch is over, with everything that belongs to it

Besides, what else Leyden needs of Lightning and torchmetrics that they do not promise; hence `lightning>=2.6.6,<2.7`.
tests/utils/test_lightning_internals.py fails where a work-around is no longer needed.
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


def install_loops(trainer: Trainer) -> None:
    """Give a new Trainer these loops in place of its own."""
    before: Any = trainer.fit_loop
    trainer.fit_loop = FitLoop(trainer, before.min_epochs, before.max_epochs)
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, before.epoch_loop.min_steps, before.epoch_loop.max_steps)


class FitLoop(_FitLoop):
    """The loop over epochs."""

    def setup_data(self) -> None:
        """As Lightning; and the loader's position, also where the data were set up before the state was read.

        A module that asks for `trainer.estimated_stepping_batches` causes that (Lightning #20550).
        """
        super().setup_data()
        if self._combined_loader_states_to_load and self._combined_loader is not None:
            self._combined_loader._load_state_dicts(self._combined_loader_states_to_load)
            self._combined_loader_states_to_load = []

    def reset(self) -> None:
        """Between two epochs nothing is to be restarted, with `max_steps` neither."""
        if self.epoch_progress.current.ready == self.epoch_progress.current.completed:
            _Loop.restarting.fset(self, False)  # type: ignore[attr-defined]
        super().reset()

    def on_run_start(self) -> None:
        """After every `on_train_start`: ready."""
        super().on_run_start()
        _tell(self.trainer, "on_ready", self.trainer.lightning_module)

    def on_advance_end(self) -> None:
        """After everything that Lightning does at an epoch's end, of a resumed epoch too: done."""
        self._restarting = False  # else ReduceLROnPlateau is passed over
        super().on_advance_end()
        _tell(self.trainer, "on_epoch_done")


class EpochLoop(_TrainingEpochLoop):
    """The loop over batches."""

    def __init__(self, trainer: Trainer, min_steps: int | None, max_steps: int) -> None:
        super().__init__(trainer, min_steps, max_steps)
        self._results = Logged()

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """The next batch; a validation is never repeated or skipped, for no state is saved inside of one."""
        self._restarting = False
        super().advance(data_fetcher)

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        """After the validation, if there is one here: done, unless the epoch's end follows at once."""
        super().on_advance_end(data_fetcher)
        if not self._should_accumulate() and not self.done:
            _tell(self.trainer, "on_step_done")


class Logged(_ResultCollection):
    """What `self.log` has summed up in the epoch so far; Lightning forgets it in a checkpoint."""

    def __init__(self) -> None:
        super().__init__(training=True)
        self._waiting: dict[str, dict[str, Any]] = {}

    def sums(self) -> dict[str, dict[str, Any]]:
        """The sums by key. (Of a torchmetrics object only that it was logged: its own state is taken elsewhere.)"""
        return {
            key: {name: getattr(metric, name) for name in _kept(metric)}
            for key, metric in self.items()
            if not metric.has_reset
        }

    def await_keys(self, sums: dict[str, dict[str, Any]]) -> None:
        """Go on from these sums: each as soon as its key is logged again."""
        self._waiting = dict(sums)

    def __setitem__(self, key: str, metric: _ResultMetric) -> None:
        for name, value in self._waiting.pop(key, {}).items():
            setattr(metric, name, value)
        super().__setitem__(key, metric)


def _kept(metric: _ResultMetric) -> tuple[str, ...]:
    """The attributes that hold a metric's sums."""
    if not metric.is_tensor:
        return ()
    mean = ("cumulated_batch_size",) if metric.meta.is_mean_reduction else ()
    return ("value", "_update_count", *mean)


def _tell(trainer: Trainer, moment: str, *more: Any) -> None:
    """Call `moment` of every callback that has it, in order."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, moment):
            getattr(callback, moment)(trainer, *more)


# --- a cheaper step ---

_OFTEN = (
    *("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward"),
    *("on_after_backward", "on_before_optimizer_step"),
    *("on_validation_batch_start", "on_validation_batch_end", "on_test_batch_start", "on_test_batch_end"),
)

T = TypeVar("T", bound=type[Callback])


def only_own_hooks(cls: T) -> T:
    """Of the hooks called at every batch, leave a callback class those that it defines."""
    for name in _OFTEN:
        if getattr(cls, name) is getattr(Callback, name):
            setattr(cls, name, None)
    return cls


class FastAttributes:
    """Mixin before LightningModule: the name of the hook at work, which Lightning notes some forty times a step.

    torch's `Module.__setattr__` would look for parameters and modules each time.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """As in torch, but not for `_current_fx_name`."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)


# --- what a checkpoint of Lightning leaves out ---


def logged_sums(trainer: Trainer) -> Logged:
    """What `self.log` has summed up in this epoch, of a Trainer with Leyden's loops."""
    found: Logged = trainer.fit_loop.epoch_loop._results  # type: ignore[assignment]
    return found


def metric_state(metric: Metric) -> dict[str, Any]:
    """The state of a torchmetrics object, which is no part of a state_dict."""
    return {name: getattr(metric, name) for name in (*metric._defaults, "_update_count")}


def set_metric_state(metric: Metric, state: dict[str, Any]) -> None:
    """Put a torchmetrics object into a state that `metric_state` returned."""
    for name, value in state.items():
        setattr(metric, name, _to(value, metric.device))
    metric._computed = None


def _to(value: Any, device: torch.device) -> Any:
    """Tensors, also in a list, on a device."""
    if isinstance(value, list):
        return [_to(part, device) for part in value]
    return value.to(device) if torch.is_tensor(value) else value


# --- other ranks ---


def processes_of_other_ranks() -> list[subprocess.Popen[bytes]]:
    """The processes that Lightning has started, taken from the thread that watches over them, which then ends.

    It would kill this process with SIGKILL within seconds of another's failure.
    """
    found: list[subprocess.Popen[bytes]] = []
    for watch in threading.enumerate():
        if watch.name == "child-process-observer":
            others: list[subprocess.Popen[bytes]] = getattr(watch, "_child_processes", [])
            found += others
            others[:] = []
    return found
