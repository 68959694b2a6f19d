"""The doctor's own time as a share of a training's: scripts/bench_doctor [--repeats N] [OVERRIDES ...].

Trains each setting with `health=detect`, the default, with a clock around each of the doctor's hooks, and prints the
median of the repeats: its time in a step, that of a whole step, the share; and its share of all training, with what it
does once an epoch, validation included.
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from lightning.pytorch import Callback

from leyden.callbacks.health_monitor import HealthMonitor
from leyden.config.compose import compose
from leyden.training.job import attempt

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


def measure(words: list[str]) -> tuple[float, float, float]:
    """Milliseconds a step: the doctor's and all; the doctor's share of all training."""
    spent, Clock.total = dict.fromkeys(HOOKS, 0.0), 0.0
    plain = compose([*words, "trainer=cpu", "threads=1", "logger=none", "force=true"])
    plain["callbacks"] = {"clock": {"_target_": f"{__name__}.Clock"}}
    with timed(spent), contextlib.redirect_stdout(io.StringIO()):
        outcome = attempt(plain, ["leyden", "train"])
    cost, in_steps = outcome.result["cost"], sum(spent[name] for name in IN_STEPS)
    share = sum(spent.values()) / cost["seconds"]
    return 1e3 * in_steps / cost["steps"], 1e3 * Clock.total / cost["steps"], share


def main() -> None:
    """Measure each setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="one setting instead of the built-in ones")
    given = parser.parse_args()
    settings = [" ".join(given.overrides)] if given.overrides else SETTINGS
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for setting in settings:
            rows = [measure(setting.split()) for _ in range(given.repeats)]
            own, step, whole = (statistics.median(column) for column in zip(*rows, strict=True))
            share = statistics.median(a / b for a, b, _ in rows)
            line = f"own {own:6.3f} ms  step {step:7.2f} ms  {share:5.1%}  of all {whole:5.1%}"
            print(f"{setting:50}  {line}", flush=True)


if __name__ == "__main__":
    main()
