"""Training throughput of `leyden train` over two bare PyTorch loops, for one experiment of each modality.

    scripts/bench_throughput data_root=data            # all three, 5 rounds
    scripts/bench_throughput --only mnist_keras --rounds 3 data_root=data
    scripts/bench_throughput --only resampling         # of recordings, beside scipy's default filter

Same net, batch size and data in memory, no augmentation. Every measurement is a process of its own, since threads
and the allocator are a process's; the three take turns, and the ratio is that of the medians.

  (a) as anyone writes it: torch's defaults, batches gathered from tensors in a random order, Adam, no metrics;
      texts and clips padded to the longest of their batch.
  (b) the same loop with Leyden's settings: its threads, allocator thresholds and optimizer, and, so that both pad
      alike, its order of samples.
  leyden: the fit of `leyden train`, metrics, history, checkpoints and logger included; timed over the training
      steps of each epoch, from the first batch asked for to the end of the last step (validation is not in it,
      since the bare loops have none).

The first epoch of each process warms up and is not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from leyden.data.batch import Input
    from leyden.data.datamodule import DataModule

STEPS = 300  # of an epoch that are taken, at most
# the first warms up, the others are timed: their median counts
EPOCHS = {"mnist_keras": 2, "sms_spam": 6, "fsdd": 4}
EXPERIMENTS = tuple(EPOCHS)
KINDS = ("a", "b", "leyden")
RESAMPLING = "resampling"


def main() -> None:
    """Measure the experiments, or one process of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("overrides", nargs="*", help="key=value for leyden: data_root=... threads=...")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=(*EXPERIMENTS, RESAMPLING), action="append")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        print(json.dumps(measure(given.kind, given.only[0], given.overrides)))
        return
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; {given.rounds} rounds")
    for name in given.only or (*EXPERIMENTS, RESAMPLING):
        if name == RESAMPLING:
            report_resampling(given.rounds)
        else:
            report(name, given.rounds, given.overrides)


def report_resampling(rounds: int, rate: int = 44_100, wanted: int = 16_000) -> None:
    """Print the time that one minute of sound takes, and that of scipy's resample_poly with its default window."""
    from math import gcd

    import numpy as np
    from scipy.signal import resample_poly

    from leyden.data.decode import resample

    minute, common = np.random.default_rng(0).normal(0, 1000, 60 * rate), gcd(rate, wanted)
    ways = {
        "leyden": lambda: resample(minute, rate, wanted),
        "scipy": lambda: resample_poly(minute, wanted // common, rate // common),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            found[name].append(time.perf_counter() - begun)
    ours, theirs = (statistics.median(times[1:]) for times in found.values())
    print(
        f"\nresampling a minute of {rate:,} Hz to {wanted:,}: {1000 * ours:.1f} ms, "
        f"scipy / leyden = {theirs / ours:.1f}"
    )


def report(experiment: str, rounds: int, overrides: list[str]) -> None:
    """Print what the rounds of one experiment gave."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS:
            command = [sys.executable, __file__, "--kind", kind, "--only", experiment, *overrides]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            found[kind].append(json.loads(done.stdout.splitlines()[-1]))
        latest = "  ".join(f"{kind} {values[-1]:,.0f}" for kind, values in found.items())
        print(f"round {number + 1}: {latest}", file=sys.stderr)
    middle = {kind: statistics.median(values) for kind, values in found.items()}
    print(f"\n{experiment}: training samples/s, median (least - most) of {rounds}")
    for kind, values in found.items():
        print(f"  {kind:<7} {middle[kind]:9,.0f} ({min(values):,.0f} - {max(values):,.0f})")
    for kind in ("a", "b"):
        pairs = [one / other for one, other in zip(found["leyden"], found[kind], strict=True)]
        spread = f"{min(pairs):.2f} - {max(pairs):.2f}"
        print(f"  leyden / ({kind}) = {middle['leyden'] / middle[kind]:.2f}   pair by pair {spread}")
    sys.stdout.flush()


def measure(kind: str, experiment: str, overrides: list[str]) -> float:
    """Samples per second of one process."""
    short = [f"trainer.max_epochs={EPOCHS[experiment]}", f"trainer.limit_train_batches={STEPS}"]
    options = [f"experiment={experiment}", "augment=none", "trainer=cpu", *overrides, *short]
    return leyden_fit(options) if kind == "leyden" else bare_loop(options, tuned=kind == "b")


def leyden_fit(options: list[str]) -> float:
    """Samples per second of `leyden train`."""
    from leyden.utils.runtime import load_torch

    load_torch()
    from leyden.training import job

    times: list[float] = []
    clock(times)
    with tempfile.TemporaryDirectory() as runs:
        outcome = job.train([*options, f"runs={runs}"])
    steps = outcome.result["cost"]["steps"] / len(times)
    return steps * _batch_size(options) / statistics.median(times[1:])


def clock(times: list[float]) -> None:
    """Append to `times` the seconds of each epoch's training steps."""
    from leyden.callbacks.metrics_csv import MetricsCSV

    hooks: Any = MetricsCSV
    before, after = hooks.on_train_epoch_start, hooks.on_train_batch_end

    def start(self: Any, trainer: Any, module: Any) -> None:
        before(self, trainer, module)
        self.started = time.perf_counter()

    def stop(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        after(self, trainer, module, outputs, batch, batch_idx)
        if batch_idx + 1 == trainer.num_training_batches:
            times.append(time.perf_counter() - self.started)

    hooks.on_train_epoch_start, hooks.on_train_batch_end = start, stop


def _batch_size(options: list[str]) -> int:
    from leyden.config.compose import compose

    return int(compose(options)["batch_size"])


def bare_loop(options: list[str], tuned: bool) -> float:
    """Samples per second of a loop over batches, with Leyden's settings or torch's."""
    if tuned:
        from leyden.utils.runtime import load_torch

        load_torch()
    import torch

    from leyden.config.compose import compose
    from leyden.config.validate import check
    from leyden.modules.standalone import fit_frontend, optimizer_of
    from leyden.training import build
    from leyden.utils import runtime

    config = check(compose(options))
    if tuned:
        runtime.prepare(config.threads)
    made = build.experiment(config)
    data, epochs = made.data, config.epochs
    module: Any = made.module()
    fit_frontend(module, data)
    net, batches = module.net, Batches(data, module.frontend, config.batch_size, epochs, tuned)
    plain = torch.optim.Adam(net.parameters(), lr=config.optimizer["lr"])
    optimizer = optimizer_of(module) if tuned else plain
    loss_of = torch.nn.CrossEntropyLoss()
    net.train()
    # Lightning's, which slows Adam; a bare loop has none
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    times = []
    for epoch in range(epochs):
        start = time.perf_counter()
        for inputs, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            loss_of(net(*inputs), labels).backward()
            optimizer.step()
        times.append(time.perf_counter() - start)
    return batches.steps * config.batch_size / statistics.median(times[1:])


class Batches:
    """The training data in memory, a batch at a time, as a person would write it."""

    def __init__(self, data: "DataModule", frontend: Any, size: int, epochs: int, tuned: bool) -> None:
        import torch

        self.frontend, self.size = frontend, size
        rows = torch.from_numpy(data.splits.train)
        self.labels = torch.from_numpy(data.table.index.targets)[rows]
        self.steps = min(STEPS, len(rows) // size)
        self.order = data._train_order(epochs) if tuned else None
        column: Any = data.inputs
        self.pieces: list[Tensor] | None = None
        if not data.modality.is_ragged:
            self.images = self.prepared(column.gather(rows))[0]
        else:
            self.pieces = [torch.from_numpy(column.row(int(row)).copy()) for row in rows]

    def prepared(self, inputs: "Input") -> "tuple[Tensor, ...]":
        """What the net is called with."""
        return tuple(part for part in self.frontend(inputs) if part is not None)

    def epoch(self, epoch: int) -> "Iterator[tuple[tuple[Tensor, ...], Tensor]]":
        """What the net is called with, and labels (B,)."""
        import torch

        order = (
            torch.randperm(len(self.labels))
            if self.order is None
            else torch.from_numpy(self.order.epoch(epoch))
        )
        for k in range(self.steps):
            chosen = order[k * self.size : (k + 1) * self.size]
            yield self.inputs(chosen), self.labels[chosen]

    def inputs(self, chosen: "Tensor") -> "tuple[Tensor, ...]":
        """What the net is called with for these samples."""
        import torch

        from leyden.data.batch import Input

        if self.pieces is None:
            return (self.images[chosen],)
        clips = [self.pieces[i] for i in chosen.tolist()]
        padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        return self.prepared(Input(padded, torch.tensor([len(clip) for clip in clips])))


if __name__ == "__main__":
    main()
