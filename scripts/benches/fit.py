"""Training samples per second of `leyden train` over plain PyTorch loops with each number of threads.

Same net, batch size, data in memory and augmentation; the loops gather their batches from tensors and have no metrics.
Leyden is the fit of `leyden train` with metrics, history, checkpoints and logger, timed from the first batch asked for
to the end of the epoch's last step; validation is not in it, since the loops have none. Medians of the epochs after the
first. `bare` is a loop as anyone writes it: torch's defaults, batches in a random order, each in a process of its own.
`tuned` has Leyden's allocator, optimizer and order of samples (so that both pad alike), and takes turns with Leyden in
one process, epoch by epoch: the speed of a shared machine changes within a minute.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from benches.measure import Case, Given, in_process


class Model(NamedTuple):
    """What is trained: the words of its configuration, epochs, and steps of each epoch, at most."""

    words: list[str]
    epochs: int
    steps: int


# The lesson's 3,600 steps are enough for the trial of a compute plan; the others take the threads of the rule.
MODELS = {
    "the Keras lesson": Model(["experiment=mnist_keras"], 12, 300),
    "ResNet-20 on CIFAR, crop and flip": Model(
        ["data=cifar10_jpeg", "model=resnet20", "augment=crop_flip", "optimizer=sgd", "batch_size=128"], 5, 10
    ),
    "LSTM on SMS": Model(["experiment=sms_spam", "model=lstm", "augment=none", "batch_size=64"], 10, 70),
    "log-mel CNN on FSDD": Model(["experiment=fsdd", "augment=none", "batch_size=64"], 5, 10),
}


def cases(given: Given) -> Iterator[Case]:
    """Two for each model."""
    counts = sorted({1, os.cpu_count() or 1})
    for name, model in MODELS.items():
        short = [f"trainer.max_epochs={model.epochs}", f"trainer.limit_train_batches={model.steps}"]
        options = [*model.words, "trainer=cpu", *given.overrides, *short]
        turns = partial(in_process, rates, options, counts, model.steps)
        yield Case(f"{name}, tuned", together=turns, unit="samples/s", best=max)
        bare = {named("bare", n): partial(in_process, bare_rate, options, n, model.steps) for n in counts}
        ways: dict[str, Callable[[], float]] = {
            "leyden": partial(in_process, leyden_rate, options, model.steps)
        }
        yield Case(f"{name}, bare", {**ways, **bare}, "samples/s", best=max)


def named(loop: str, threads: int) -> str:
    """In words."""
    return f"{loop}, {threads} thread{'s' if threads > 1 else ''}"


def rates(options: list[str], counts: list[int], most: int) -> dict[str, float]:
    """Samples per second of `leyden train` and of the tuned loop with each number of threads.

    most: steps of an epoch.
    """
    from leyden.utils.runtime import load_torch

    load_torch()
    from leyden.config.compose import compose

    loops = {named("tuned", n): Loop(options, n, most, tuned=True) for n in counts}

    def take_turns() -> None:
        for loop in loops.values():
            loop.epoch()

    times, result = timed_epochs(options, take_turns)
    samples = result["cost"]["steps"] / len(times) * int(compose(options)["batch_size"])
    found = {"leyden": times, **{name: loop.times for name, loop in loops.items()}}
    return {name: samples / statistics.median(seconds[1:]) for name, seconds in found.items()}


def leyden_rate(options: list[str], most: int) -> float:
    """Samples per second of `leyden train` alone."""
    return rates(options, [], most)["leyden"]


def bare_rate(options: list[str], threads: int, most: int) -> float:
    """Samples per second of the loop with torch's defaults."""
    from leyden.config.compose import compose

    loop = Loop(options, threads, most, tuned=False)
    os.environ.pop(
        "PYTORCH_NVML_BASED_CUDA_CHECK", None
    )  # Lightning's, which slows Adam; a bare loop has none
    for _ in range(int(compose(options)["trainer"]["max_epochs"])):
        loop.epoch()
    return float(loop.samples / statistics.median(loop.times[1:]))


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


class Loop:
    """Training as anyone writes it.

    Attributes:
        times: seconds of each epoch so far.
        samples: of an epoch.
    """

    def __init__(self, options: list[str], threads: int, most: int, tuned: bool) -> None:
        import torch

        from leyden.config.compose import compose
        from leyden.config.validate import check
        from leyden.modules.standalone import fit_frontend, optimizer_of
        from leyden.training import build

        self._threads, self.times = threads, list[float]()
        config = check(compose(options))
        made = build.experiment(config)
        module: Any = made.module()
        fit_frontend(module, made.data)
        self._module = module.train()
        self._optimizer, self._loss_of = optimizer_of(module), torch.nn.CrossEntropyLoss()
        if not tuned:
            plain = {k: v for k, v in config.optimizer.items() if k in ("lr", "momentum", "weight_decay")}
            self._optimizer = type(self._optimizer)(module.net.parameters(), **plain)
        self._batches = Batches(made.data, module, config.batch_size, config.epochs, most, tuned)
        self.samples = self._batches.steps * config.batch_size

    def epoch(self) -> None:
        """Train for an epoch, with its number of threads; Leyden's threads and random numbers stay as they were."""
        import torch

        before, random = torch.get_num_threads(), torch.get_rng_state()
        torch.set_num_threads(self._threads)
        with torch.enable_grad():
            start = time.perf_counter()
            for inputs, labels in self._batches.epoch(len(self.times)):
                self._optimizer.zero_grad()
                self._loss_of(self._module.net(*inputs), labels).backward()
                self._optimizer.step()
            self.times.append(time.perf_counter() - start)
        torch.set_num_threads(before)
        torch.set_rng_state(random)


class Batches:
    """The training data in memory, a batch at a time, as a person would write it."""

    def __init__(self, data: Any, module: Any, size: int, epochs: int, most: int, tuned: bool) -> None:
        import torch

        self.module, self.size, self.name = module, size, data.modality.name
        rows = torch.from_numpy(data.splits.train)
        self.labels = torch.from_numpy(data.table.index.targets)[rows]
        self.steps = min(most, len(rows) // size)
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
