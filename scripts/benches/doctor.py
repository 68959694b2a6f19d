"""The doctor's own time as a share of a training's, with `health=detect`, the default.

A clock runs around each of the doctor's hooks. Printed are its time in a step, that of a whole step, and its share of
all training with what it does once an epoch, validation included.
"""

import contextlib
import io
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from lightning.pytorch import Callback

from benches.measure import Case, Given, in_process
from leyden.callbacks.health_monitor import HealthMonitor

SETTINGS = (
    "data=digits model=mlp trainer.max_epochs=20",
    "data=digits model=cnn trainer.max_epochs=8",
    "data=digits model=resnet20 trainer.max_epochs=2",
    "experiment=planted_text trainer.max_epochs=4",
    "experiment=planted_images trainer.max_epochs=4",
    "experiment=planted_audio trainer.max_epochs=2",
)
IN_STEPS = ("on_train_batch_start", "on_before_backward", "on_before_optimizer_step")
HOOKS = (
    *("on_train_start", "on_train_epoch_start", "on_validation_start", "on_validation_batch_start"),
    *("on_validation_batch_end", "on_train_epoch_end", *IN_STEPS),
)


class Clock(Callback):
    """Seconds of training, without those of validation."""

    total, _since, _running = 0.0, 0.0, False

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start."""
        Clock._since, Clock._running = time.perf_counter(), True

    def on_validation_start(self, *_: Any) -> None:
        """Pause."""
        if Clock._running:
            Clock.total += time.perf_counter() - Clock._since
        Clock._running = False


@contextlib.contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up what the doctor's hooks take."""
    kept = {name: getattr(HealthMonitor, name) for name in HOOKS}

    def clocked(name: str, hook: Any) -> Any:
        def run(*arguments: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return hook(*arguments, **more)
            finally:
                spent[name] += time.perf_counter() - began

        return run

    for name, hook in kept.items():
        setattr(HealthMonitor, name, clocked(name, hook))
    try:
        yield
    finally:
        for name, hook in kept.items():
            setattr(HealthMonitor, name, hook)


def cases(given: Given) -> Iterator[Case]:
    """One for each setting; the words of the command line are one instead of them."""
    for setting in [" ".join(given.overrides)] if given.overrides else SETTINGS:
        together = partial(in_process, measured, setting.split(), cwd=given.scratch, OMP_NUM_THREADS="1")
        yield Case(setting, together=together, unit="", ratios=False)


def measured(words: list[str]) -> dict[str, float]:
    """Milliseconds of a step, and percent of all training."""
    from leyden.config.compose import compose
    from leyden.training.job import attempt

    spent, Clock.total = dict.fromkeys(HOOKS, 0.0), 0.0
    plain = compose([*words, "trainer=cpu", "threads=1", "logger=none", "force=true"])
    plain["callbacks"] = {"clock": {"_target_": f"{__name__}.Clock"}}
    with timed(spent), contextlib.redirect_stdout(io.StringIO()):
        outcome = attempt(plain, ["leyden", "train"])
    cost, in_steps = outcome.result["cost"], sum(spent[name] for name in IN_STEPS)
    own, step = 1e3 * in_steps / cost["steps"], 1e3 * Clock.total / cost["steps"]
    whole = 100 * sum(spent.values()) / cost["seconds"]
    return {
        "doctor, ms a step": own,
        "step, ms": step,
        "% of a step": 100 * own / step,
        "% of training": whole,
    }
