"""What utils/lightning_internals.py works around in Lightning and torchmetrics: what for, and that it is still needed.

Each work-around is taken away on its own, and a run must then come out differently. A test that fails after an update
of Lightning says that the work-around it names may go.
"""

import inspect
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies.launchers import subprocess_script
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric

from leyden.utils import lightning_internals
from leyden.utils.lightning_internals import (
    EpochLoop,
    FastAttributes,
    FitLoop,
    install_loops,
    logged_sums,
    metric_state,
    only_own_hooks,
    processes_of_other_ranks,
    set_metric_state,
)

STEPS = 6  # an epoch

# Lightning 2.6 still asks torch for this class; it wins over -W error only as a mark
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


class Loader:
    """Batches of two equal numbers, 0 to 5; keeps its place."""

    def __init__(self) -> None:
        self.start = self.place = 0

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Tensor]:
        self.place, self.start = self.start, 0
        while self.place < STEPS:
            self.place += 1
            yield torch.full((2, 1), self.place - 1.0)

    def state_dict(self) -> dict[str, int]:
        return {"place": self.place % STEPS}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["place"]


class Plateau(ReduceLROnPlateau):
    """Halves the rate at every step but the first, and tells of it."""

    def __init__(self, optimizer: torch.optim.Optimizer, events: list[Any]) -> None:
        super().__init__(optimizer, patience=0, factor=0.5)
        self._events = events

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        self._events.append("plateau")
        super().step(metrics)

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "_events"}


class Module(LightningModule):
    """Writes down what happens, in order."""

    def __init__(self, asks_length: bool = False, plateau: bool = True, reduce_fx: str = "mean") -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.events: list[Any] = []
        self.asks_length, self.plateau, self.reduce_fx = asks_length, plateau, reduce_fx

    def on_train_start(self) -> None:
        self.events.append("module starts")

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        logged_at = self.trainer.fit_loop.epoch_loop._batches_that_stepped  # the step that loggers are given
        self.events.append((self.current_epoch, int(batch[0, 0]), rate, logged_at))
        self.log("number", batch.mean(), on_step=False, on_epoch=True, reduce_fx=self.reduce_fx)
        return self.layer(batch).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        if batch_idx == 0:
            self.events.append("validation")
        self.log("val", torch.tensor(1.0))

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.layer(batch)

    def configure_optimizers(self) -> Any:
        if self.asks_length:
            assert self.trainer.estimated_stepping_batches > 0
        optimizer = torch.optim.SGD(self.parameters(), lr=1e-3)
        if not self.plateau:
            return optimizer
        plateau = Plateau(optimizer, self.events)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val"}}


class Recorder(Callback):
    """Writes down Lightning's hooks and the moments of Leyden's loops."""

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        module.events.append("callback starts")

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        module.events.append("epoch starts")

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        module.events.append("batch ends")

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        module.events.append("epoch ends")

    def on_ready(self, trainer: Trainer, module: Any) -> None:
        module.events.append("ready")

    def on_step_done(self, trainer: Any) -> None:
        trainer.lightning_module.events.append("step done")

    def on_epoch_done(self, trainer: Any) -> None:
        trainer.lightning_module.events.append("epoch done")


class SaveAt(Callback):
    """Saves a checkpoint at one moment of a step; with it what `self.log` has summed up, if asked to."""

    def __init__(self, moment: str, step: int, path: Path, with_sums: bool = False) -> None:
        self.step, self.path, self.with_sums = step, path, with_sums
        setattr(self, moment, self.save)

    def save(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            if self.with_sums:
                torch.save(logged_sums(trainer).sums(), self.path.with_suffix(".sums"))


class TakeUpSums(Callback):
    """Goes on from the sums that were saved."""

    def __init__(self, path: Path) -> None:
        self.sums = torch.load(path.with_suffix(".sums"))

    def on_ready(self, trainer: Trainer, module: LightningModule) -> None:
        logged_sums(trainer).await_keys(self.sums)


def make_trainer(*callbacks: Callback, leydens: bool = True, **options: Any) -> Trainer:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    settings = {"max_epochs": 3, "num_sanity_val_steps": 0, **dict.fromkeys(quiet, False), **options}
    trainer = Trainer(accelerator="cpu", devices=1, callbacks=list(callbacks), **settings)
    if leydens:
        install_loops(trainer)
    return trainer


def fit(
    *callbacks: Callback, module: Module | None = None, resume: Path | None = None, **options: Any
) -> Module:
    module = module or Module()
    trainer = make_trainer(*callbacks, **options)
    trainer.fit(module, Loader(), Loader(), ckpt_path=resume, weights_only=True)
    return module


# --- the loops: each override is taken away alone, and an exact resume is lost ---


def flag_is_kept(loop: Any) -> None:
    """`FitLoop.on_advance_end` that leaves `restarting` as it is."""
    _FitLoop.on_advance_end(loop)
    lightning_internals._call_hook(loop.trainer, "on_epoch_done")


class Override(NamedTuple):
    """One override, what stands in its place without it, and a run that then does not resume exactly."""

    cls: type
    method: str
    without: Callable[..., Any]
    moment: str
    step: int
    module: dict[str, Any]
    limits: dict[str, Any]


ENDLESS = {"max_steps": 18, "max_epochs": -1}
OVERRIDES = {
    "the position of a loader that was set up too early": Override(
        FitLoop, "setup_data", _FitLoop.setup_data, "on_step_done", 4, {"asks_length": True}, {}
    ),
    "nothing is restarted between two epochs": Override(
        FitLoop, "reset", _FitLoop.reset, "on_epoch_done", STEPS, {"plateau": False}, ENDLESS
    ),
    "the plateau is not passed over": Override(
        FitLoop, "on_advance_end", flag_is_kept, "on_step_done", 2, {}, ENDLESS
    ),
    "no step is counted twice after a validation": Override(
        EpochLoop, "advance", _TrainingEpochLoop.advance, "on_step_done", 3, {}, {"val_check_interval": 3}
    ),
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_run_resumes_exactly_with_an_override_and_not_without(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, path = OVERRIDES[name], tmp_path / "saved.ckpt"

    def events(resume: Path | None, *callbacks: Callback) -> list[Any]:
        """What happened from the first batch on."""
        seen = fit(*callbacks, module=Module(**case.module), resume=resume, **case.limits).events
        assert seen[0] == "module starts"
        return seen[1:]

    straight = events(None, SaveAt(case.moment, case.step, path))
    resumed = events(path)
    assert len([event for event in resumed if isinstance(event, tuple)]) == 18 - case.step
    assert resumed == straight[-len(resumed) :]
    monkeypatch.setattr(case.cls, case.method, case.without)
    assert events(path) != resumed


def test_the_loops_keep_their_limits_and_have_no_public_way_in() -> None:
    assert not [name for name in inspect.signature(Trainer).parameters if "loop" in name]
    loop: Any = make_trainer(min_epochs=2, max_epochs=5, min_steps=7, max_steps=9).fit_loop
    assert isinstance(loop, FitLoop)
    assert isinstance(loop.epoch_loop, EpochLoop)
    assert (loop.min_epochs, loop.max_epochs, loop.min_steps, loop.max_steps) == (2, 5, 7, 9)


# --- the moments: Lightning's own hooks come while something is half done ---


def test_lightnings_last_hook_of_a_step_is_before_its_validation() -> None:
    events = fit(Recorder(), leydens=False, max_epochs=1, val_check_interval=3).events
    assert events[events.index("validation") - 1] == "batch ends"
    events = fit(Recorder(), max_epochs=1, val_check_interval=3).events
    at = events.index("validation")
    assert events[at - 1 : at + 2] == ["batch ends", "validation", "step done"]
    assert events.count("step done") == STEPS - 1  # the last is the epoch's


def test_lightnings_last_hook_of_an_epoch_is_before_the_plateau() -> None:
    assert fit(Recorder(), leydens=False, max_epochs=1).events[-2:] == ["epoch ends", "plateau"]
    assert fit(Recorder(), max_epochs=1).events[-3:] == ["epoch ends", "plateau", "epoch done"]


def test_no_hook_of_lightnings_comes_after_the_modules_start_in_every_run(tmp_path: Path) -> None:
    """A callback's `on_train_start` is before the module's, and a run resumed inside an epoch starts no epoch."""
    path = tmp_path / "saved.ckpt"
    fit(SaveAt("on_step_done", 4, path), max_epochs=1)
    for leydens, last in ((False, []), (True, ["ready"])):
        events = fit(Recorder(), resume=path, leydens=leydens, max_epochs=1).events
        assert events[: 2 + len(last)] == ["callback starts", "module starts", *last]
        assert isinstance(events[2 + len(last)], tuple)


# --- what self.log has summed up ---


@pytest.mark.parametrize("reduce_fx", ["mean", "max", "min", "sum"])
def test_sums_of_self_log_survive_a_checkpoint_only_by_hand(reduce_fx: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.ckpt"

    def logged(*callbacks: Callback, resume: Path | None = None, **options: Any) -> float:
        module = fit(*callbacks, module=Module(reduce_fx=reduce_fx), resume=resume, max_epochs=1, **options)
        return float(module.trainer.callback_metrics["number"])

    straight = {"mean": 2.5, "max": 5.0, "min": 0.0, "sum": 15.0}[reduce_fx]
    after = {"mean": 4.5, "max": 5.0, "min": 4.0, "sum": 9.0}[reduce_fx]  # of the last two batches
    assert logged(SaveAt("on_step_done", 4, path, with_sums=True)) == straight
    assert logged(resume=path, leydens=False) == after
    assert logged(TakeUpSums(path), resume=path) == straight


# --- a cheaper step ---


class Counting(Profiler):
    """Counts what Lightning measures."""

    def __init__(self) -> None:
        super().__init__()
        self.started: Counter[str] = Counter()

    def start(self, action_name: str) -> None:
        self.started[action_name] += 1

    def stop(self, action_name: str) -> None:
        assert self.started[action_name]


class Empty(Callback):
    """Has no hook of its own."""


@only_own_hooks
class Lean(Callback):
    """Has one."""

    def on_train_batch_end(self, *_: Any) -> None:
        """Do nothing."""


def test_lightning_calls_the_empty_hooks_of_a_callback_at_every_batch() -> None:
    profiler = Counting()
    trainer = make_trainer(Empty(), Lean(), profiler=profiler, max_epochs=1)
    module = Module()
    trainer.fit(module, Loader(), Loader())
    trainer.test(module, Loader(), verbose=False)
    empty = {name for name in lightning_internals._BATCH_HOOKS if profiler.started[f"[Callback]Empty.{name}"]}
    assert empty == set(lightning_internals._BATCH_HOOKS)
    lean = {name for name in lightning_internals._BATCH_HOOKS if profiler.started[f"[Callback]Lean.{name}"]}
    assert lean == {"on_train_batch_end"}
    assert profiler.started["[Callback]Lean.on_train_batch_end"] == STEPS


class Fast(FastAttributes, Module):
    """A module with the mixin."""


def test_lightning_notes_the_hook_at_work_through_modules_setattr(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()
    original = nn.Module.__setattr__

    def counting(self: nn.Module, name: str, value: Any) -> None:
        counted[name] += 1
        original(self, name, value)

    monkeypatch.setattr(nn.Module, "__setattr__", counting)
    fit(max_epochs=1)
    assert counted["_current_fx_name"] > 20 * STEPS
    counted.clear()
    fast = fit(max_epochs=1, module=Fast())
    assert counted["_current_fx_name"] == 0
    assert len([event for event in fast.events if isinstance(event, tuple)]) == STEPS


# --- the state of a torchmetrics object ---


def updated(*values: float) -> MeanMetric:
    metric = MeanMetric()
    for value in values:
        metric.update(value)
    return metric


def test_a_torchmetrics_object_has_no_state_in_its_state_dict() -> None:
    metric = updated(1.0, 3.0)
    assert metric.state_dict() == {}
    copy = MeanMetric()
    set_metric_state(copy, metric_state(metric))
    assert (float(copy.compute()), copy.update_count) == (2.0, 2)


def test_a_persistent_torchmetrics_object_still_forgets_that_it_was_updated() -> None:
    """Computed at once it would warn that there is nothing to compute."""
    metric, copy = updated(1.0, 3.0), MeanMetric()
    metric.persistent(True)
    copy.persistent(True)
    copy.load_state_dict(metric.state_dict())
    assert (metric.update_count, copy.update_count) == (2, 0)


def test_a_torchmetrics_object_keeps_what_it_computed_before_its_state_was_set() -> None:
    metric = updated(1.0, 3.0)
    state = metric_state(updated(5.0))
    assert float(metric.compute()) == 2.0
    for name, value in state.items():
        setattr(metric, name, value)
    assert float(metric.compute()) == 2.0
    set_metric_state(metric, state)
    assert float(metric.compute()) == 5.0


# --- the watch over other ranks ---


@pytest.fixture
def other_rank() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_lightnings_watch_kills_this_process_when_another_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    failed = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    failed.wait()
    monkeypatch.setattr(os, "kill", lambda *pid_and_signal: killed.append(pid_and_signal))
    assert _ChildProcessObserver(os.getpid(), [failed])._run()
    assert killed == [(os.getpid(), signal.SIGKILL)]


def test_the_watch_is_found_by_its_name_and_hands_over_its_processes(
    other_rank: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [name for name in vars(_ChildProcessObserver) if not name.startswith("_")] == ["run"]  # no stop()
    before = set(threading.enumerate())
    subprocess_script._launch_process_observer([other_rank])
    (watch,) = set(threading.enumerate()) - before
    assert isinstance(watch, _ChildProcessObserver)
    assert processes_of_other_ranks() == [other_rank]
    assert processes_of_other_ranks() == []
    other_rank.kill()
    other_rank.wait()
    monkeypatch.setattr(os, "kill", None)  # so that a kill would be an error
    assert watch._run()
