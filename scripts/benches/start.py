"""The second start of an experiment: seconds from the command to its first training step, beside the bare imports.

The first start, which decodes the data into columns, is run once before and not counted.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from benches.measure import Case, Given, leyden, process, sources

PROBE = """
import os, time
from lightning.pytorch import Callback
class Probe(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        print("first step at", time.time(), flush=True)
        os._exit(0)
"""


def cases(given: Given) -> Iterator[Case]:
    """One."""
    (given.scratch / "probe.py").write_text(PROBE)
    root = [f"data_root={given.data_root}", "callbacks.probe._target_=probe.Probe"]
    options = ["train", *(given.overrides or ["experiment=mnist_keras"]), *root, "runs=start"]

    def first_step(path: str) -> float:
        begun = time.time()
        output = leyden(options, given.scratch, PYTHONPATH=f"{path}:{given.scratch}").output
        return (
            float(next(x for x in output.splitlines() if x.startswith("first step at")).split()[-1]) - begun
        )

    def imports() -> float:
        command = [sys.executable, "-c", "import torch, lightning, hydra"]
        return process(command, given.scratch).seconds

    with sources(given.against, given.scratch) as found:
        ways: dict[str, Callable[[], float]] = {
            f"leyden, {name}": partial(first_step, path) for name, path in found.items()
        }
        for way in ways.values():
            way()
        yield Case("to the first step", {**ways, "bare imports": imports})
