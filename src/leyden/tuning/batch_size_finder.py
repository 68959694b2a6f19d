"""Training steps of growing batches: how many samples a second, how much memory, and where more gains nothing.

A larger batch is a faster pass over the data until the device is busy; beyond that it only costs memory, and each
epoch has fewer steps to learn in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.console import RenderableType

from leyden.data.datamodule import median_length_batch
from leyden.modules.session import Session
from leyden.modules.standalone import optimizer_of, preserved_state
from leyden.profiling import latency
from leyden.profiling.costs import activation_bytes
from leyden.reporting.finders import batch_figure, batch_table
from leyden.reporting.terminal.findings import suggested_commands
from leyden.utils.console import console
from leyden.utils.errors import UserError

SIZES = tuple(2**power for power in range(3, 14))  # 8 to 8,192
ENOUGH = 0.9  # of the best throughput
_SECONDS = 1.0  # of measuring a size
_RESERVE = 0.5  # of the free memory, which other work may want


@dataclass(frozen=True)
class BatchMeasurement:
    """One size: samples a second in training steps, bytes of activations (on a GPU the peak of all), seconds a step."""

    size: int
    throughput: float
    memory: int
    seconds: float


@dataclass(frozen=True)
class BatchCurve:
    """All sizes tried, the suggestion, the configured size, and why it ended where it did."""

    tried: tuple[BatchMeasurement, ...]
    suggestion: int
    now: int
    ended: str


def find(made: Session) -> BatchCurve:
    """Every power of two that memory and data allow.

    Raises:
        UserError: not even the smallest fits.
    """
    tried: list[BatchMeasurement] = []
    ended = f"{SIZES[-1]:,} is the largest that is tried"
    samples = len(made.data.splits.train)
    for size in SIZES:
        if size > samples:
            ended = f"there are {samples:,} training samples"
            break
        if tried and (free := _free(made.device)) is not None and 2 * tried[-1].memory > _RESERVE * free:
            ended = f"a batch of {size:,} would take more than half of the free memory ({free / 1e9:.2g} GB)"
            break
        with console.status(f"training steps of {size:,} samples"):
            try:
                tried.append(_try(made, size))
            except torch.cuda.OutOfMemoryError:
                ended = f"a batch of {size:,} does not fit into the GPU's memory"
                break
    if not tried:
        raise UserError(f"leyden find batch_size: nothing could be tried: {ended}")
    return BatchCurve(tuple(tried), suggest(tried), made.config.batch_size, ended)


def suggest(tried: Sequence[BatchMeasurement]) -> int:
    """The smallest size that reaches nine tenths of the best throughput."""
    best = max(each.throughput for each in tried)
    return next(each.size for each in tried if each.throughput >= ENOUGH * best)


def _try(made: Session, size: int) -> BatchMeasurement:
    module, device = made.module, made.device
    batch = median_length_batch(made.data, size).to(device)
    optimizer = optimizer_of(module)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # what the weights are is not the question, but that they stay finite
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with preserved_state(module, training=True):
        took = latency.measure(lambda: made.step(module, optimizer, batch), device, _SECONDS, few=5)
    peak = (
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else activation_bytes(module, batch)
    )
    return BatchMeasurement(size, size / took.p50, peak, took.p50)


def _free(device: torch.device) -> int | None:
    """Bytes of memory that are free; None: the system does not say. A GPU says so by itself."""
    if device.type == "cuda":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    (available,) = (line for line in lines if line.startswith("MemAvailable"))
    return 1024 * int(available.split()[1])


def describe(found: BatchCurve, command: Sequence[str]) -> Iterator[RenderableType]:
    """A row a size, then what to take."""
    yield batch_table([(t.size, t.throughput, t.memory, t.seconds) for t in found.tried], found.suggestion)
    yield (
        f"{found.suggestion:,} is the smallest batch with nine tenths of the best throughput; no more were tried, as "
        f"{found.ended}"
    )
    yield suggested_commands(command, f"batch_size={found.suggestion}")
    if found.suggestion != found.now:
        yield (
            f"from batch_size={found.now} to {found.suggestion} the learning rate wants to be looked for again: "
            f"leyden find lr ... batch_size={found.suggestion}"
        )


def figure(found: BatchCurve) -> Figure:
    """Throughput and memory against the size."""
    return batch_figure([(t.size, t.throughput, t.memory) for t in found.tried], found.suggestion, found.now)
