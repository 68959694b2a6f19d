"""Second start of an experiment: seconds from the command to its first training step, beside the bare imports.

    scripts/bench_start data_root=data experiment=mnist_keras

Both are processes of their own and take turns; medians of 5. The first start, which decodes the data into columns, is
run once before and not counted.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROBE = """
import os, time
from lightning.pytorch import Callback
class Probe(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        print("first step at", time.time(), flush=True)
        os._exit(0)
"""
ROUNDS = 5


def main() -> None:
    """Print the medians."""
    overrides = sys.argv[1:] or ["experiment=mnist_keras"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "probe.py").write_text(PROBE)
        runs = f"runs={folder}/runs"
        root = (
            [f"data_root={Path('data').resolve()}"]
            if not any(o.startswith("data_root=") for o in overrides)
            else []
        )
        options = [*overrides, *root, runs, "callbacks.probe._target_=probe.Probe"]
        first_step(options, folder)
        found = [(first_step(options, folder), bare_imports()) for _ in range(ROUNDS)]
    start, bare = (statistics.median(column) for column in zip(*found, strict=True))
    extra = sorted(a - b for a, b in found)
    print(f"to the first step {start:.2f} s, bare imports {bare:.2f} s (medians of {ROUNDS})")
    print(f"above the imports: {start - bare:.2f} s; pair by pair {extra[0]:.2f} - {extra[-1]:.2f}")


def first_step(options: list[str], folder: str) -> float:
    """Seconds from the command to its first training step."""
    command = [str(Path(sys.executable).with_name("leyden")), "train", *options]
    begun = time.time()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("first step at")), None)
    if line is None:
        sys.exit(done.stdout + done.stderr)
    return float(line.split()[-1]) - begun


def bare_imports() -> float:
    """Seconds of a process that imports what every run needs."""
    begun = time.time()
    subprocess.run([sys.executable, "-c", "import torch, lightning, hydra"], check=True)
    return time.time() - begun


if __name__ == "__main__":
    main()
