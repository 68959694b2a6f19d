"""Training samples per second of `leyden train` over bare PyTorch loops with each number of threads.

Same net, batch size, data in memory and augmentation. `bare` is the loop as anyone writes it: torch's defaults, batches
gathered from tensors in a random order, texts and clips padded to the longest of their batch, no metrics. `tuned` has
Leyden's allocator, optimizer and order of samples (so that both pad alike). Leyden is the fit of `leyden train` with
metrics, history, checkpoints and logger, timed from the first batch asked for to the end of the epoch's last step;
validation is not in it, since the loops have none. An epoch of at most 300 steps is timed after one that warms up.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benches.measure import Case, Given, in_process

STEPS = 300  # of an epoch that are taken, at most
# Words, and epochs: the median of those after the first counts. The lesson's 1,500 steps are enough for the trial of a
# compute plan, which is before the first epoch; the others take the threads of the rule.
MODELS = {
    "the Keras lesson": (["experiment=mnist_keras"], 5),
    "ResNet-20 on CIFAR, crop and flip": (
        ["data=cifar10_jpeg", "model=resnet20", "augment=crop_flip", "optimizer=sgd", "batch_size=128"],
        2,
    ),
    "LSTM on SMS": (["experiment=sms_spam", "model=lstm", "augment=none", "batch_size=64"], 6),
    "log-mel CNN on FSDD": (["experiment=fsdd", "augment=none", "batch_size=64"], 4),
}


def cases(given: Given) -> Iterator[Case]:
    """One for each model."""
    counts = sorted({1, os.cpu_count() or 1})
    for name, (words, epochs) in MODELS.items():
        short = [f"trainer.max_epochs={epochs}", f"trainer.limit_train_batches={STEPS}", "trainer=cpu"]
        options = [*words, *given.overrides, *short]
        loops = {
            f"{kind}, {plural(threads)}": partial(in_process, bare_rate, options, threads, kind == "tuned")
            for kind in ("bare", "tuned")
            for threads in counts
        }
        ways: dict[str, Callable[[], float]] = {"leyden": partial(in_process, leyden_rate, options), **loops}
        yield Case(name, ways, "samples/s", best=max)


def plural(threads: int) -> str:
    """In words."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def leyden_rate(options: list[str]) -> float:
    """Samples per second of `leyden train`."""
    from leyden.utils.runtime import load_torch

    load_torch()
    from leyden.config.compose import compose

    times, result = timed_epochs(options, lambda: None)
    steps = result["cost"]["steps"] / len(times)
    return float(steps * int(compose(options)["batch_size"]) / statistics.median(times[1:]))


def timed_epochs(
    options: list[str], after_epoch: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> tuple[list[float], dict[str, Any]]:
    """Seconds of the training steps of each epoch of `leyden train`, by this clock, and its result."""
    from leyden.callbacks.metrics_csv import MetricsCSV
    from leyden.training import job

    times: list[float] = []
    hooks: Any = MetricsCSV
    before, after = hooks.on_train_epoch_start, hooks.on_train_batch_end

    def start(self: Any, trainer: Any, module: Any) -> None:
        before(self, trainer, module)
        self.started = clock()

    def stop(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        after(self, trainer, module, outputs, batch, batch_idx)
        if batch_idx + 1 == trainer.num_training_batches:
            times.append(clock() - self.started)
            after_epoch()

    hooks.on_train_epoch_start, hooks.on_train_batch_end = start, stop
    with tempfile.TemporaryDirectory() as runs:
        outcome = job.train([*options, f"runs={runs}"])
    return times, dict(outcome.result)


def bare_rate(options: list[str], threads: int, tuned: bool) -> float:
    """Samples per second of a loop over batches, with Leyden's settings or torch's."""
    from leyden.utils import runtime

    if tuned:
        runtime.load_torch()
    import torch

    from leyden.config.compose import compose
    from leyden.config.validate import check
    from leyden.modules.standalone import fit_frontend, optimizer_of
    from leyden.training import build

    config = check(compose(options))
    if tuned:
        runtime.prepare(threads)
    torch.set_num_threads(threads)
    made = build.experiment(config)
    module: Any = made.module()
    fit_frontend(module, made.data)
    optimizer = optimizer_of(module)
    if not tuned:
        plain = {k: v for k, v in config.optimizer.items() if k in ("lr", "momentum", "weight_decay")}
        optimizer = type(optimizer)(module.net.parameters(), **plain)
    os.environ.pop(
        "PYTORCH_NVML_BASED_CUDA_CHECK", None
    )  # Lightning's, which slows Adam; a bare loop has none
    batches, module = Batches(made.data, module, config.batch_size, config.epochs, tuned), module.train()
    loss_of, times = torch.nn.CrossEntropyLoss(), []
    for epoch in range(config.epochs):
        start = time.perf_counter()
        for inputs, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            loss_of(module.net(*inputs), labels).backward()
            optimizer.step()
        times.append(time.perf_counter() - start)
    return float(batches.steps * config.batch_size / statistics.median(times[1:]))


class Batches:
    """The training data in memory, a batch at a time, as a person would write it."""

    def __init__(self, data: Any, module: Any, size: int, epochs: int, tuned: bool) -> None:
        import torch

        self.module, self.size, self.name = module, size, data.modality.name
        rows = torch.from_numpy(data.splits.train)
        self.labels = torch.from_numpy(data.table.index.targets)[rows]
        self.steps = min(STEPS, len(rows) // size)
        self.order = data._train_order(epochs) if tuned else None
        column = data.inputs
        self.pieces = self.images = None
        if data.modality.is_ragged:
            self.pieces = [torch.from_numpy(column.row(int(row)).copy()) for row in rows]
        else:
            self.images = column.gather(rows).values
        self.augments = any(len(stage) for stage in module.augment.values())
        if self.images is not None and not self.augments:  # prepared once: nothing changes it
            self.images = module.frontend(column.gather(rows)).values

    def epoch(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """What the net is called with, and labels (B,)."""
        import torch

        order = (
            torch.randperm(len(self.labels))
            if self.order is None
            else torch.from_numpy(self.order.epoch(epoch))
        )
        for k in range(self.steps):
            chosen = order[k * self.size : (k + 1) * self.size]
            yield self.inputs(chosen, epoch, k), self.labels[chosen]

    def inputs(self, chosen: Any, epoch: int, k: int) -> tuple[Any, ...]:
        """What the net is called with for these samples."""
        import torch

        from leyden.data.batch import Batch, Input

        if self.pieces is not None:
            clips = [self.pieces[i] for i in chosen.tolist()]
            padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
            prepared = self.module.frontend(Input(padded, torch.tensor([len(clip) for clip in clips])))
            return tuple(part for part in prepared if part is not None)
        assert self.images is not None
        if not self.augments:
            return (self.images[chosen],)
        places = torch.arange(k * self.size, (k + 1) * self.size)
        batch = Batch({self.name: Input(self.images[chosen])}, self.labels[chosen], chosen, places, epoch)
        return (self.module.prepare(batch).input.values,)
