"""Batch size finder: throughput and memory of training steps at growing batch sizes.

Throughput grows with the batch size until the device is fully used; larger batches only need more memory, and an epoch
has fewer optimizer steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.console import RenderableType

from leyden.data.typical_batch import median_length_batch
from leyden.modules.session import Session
from leyden.modules.standalone import optimizer_of, preserved_state
from leyden.profiling import latency
from leyden.profiling.costs import activation_bytes
from leyden.reporting.finders import batch_figure, batch_table
from leyden.reporting.terminal.findings import suggested_commands
from leyden.utils.console import console
from leyden.utils.errors import UserError
from leyden.utils.text import plural

SIZES = tuple(2**power for power in range(3, 14))  # 8 to 8,192
ENOUGH = 0.9  # of the best throughput
LEAST_STEPS = 20  # an epoch, that a suggestion leaves
_SECONDS = 1.0  # of measurement per size
_RESERVE = 0.5  # maximum share of the free memory, on a CPU


@dataclass(frozen=True)
class BatchMeasurement:
    """One batch size: samples per second, bytes of activations (on a GPU peak memory), seconds per training step."""

    size: int
    throughput: float
    memory: int
    seconds: float


@dataclass(frozen=True)
class BatchCurve:
    """The measured sizes, the suggested and the configured size (`now`), and why no larger size was tried.

    samples: how many an epoch draws.
    """

    tried: tuple[BatchMeasurement, ...]
    suggestion: int
    now: int
    ended: str
    samples: int


def find(session: Session) -> BatchCurve:
    """Measure every power of two that memory and data allow.

    Raises:
        UserError: not even the smallest size fits.
    """
    tried: list[BatchMeasurement] = []
    ended = f"{SIZES[-1]:,} is the largest size to try"
    samples = len(session.data.epoch_sampler(session.config.epochs))
    for size in SIZES:
        if size > samples:
            ended = f"there are {samples:,} training samples"
            break
        if (
            tried
            and (free := _free_memory(session.device)) is not None
            and 2 * tried[-1].memory > _RESERVE * free
        ):
            ended = f"a batch of {size:,} would take more than half of the free memory ({free / 1e9:.2g} GB)"
            break
        with console.status(f"training steps of {size:,} samples"):
            try:
                tried.append(_measure(session, size))
            except torch.cuda.OutOfMemoryError:
                ended = f"a batch of {size:,} does not fit into the GPU's memory"
                break
    if not tried:
        raise UserError(f"leyden find batch_size: no batch size could be measured: {ended}")
    return BatchCurve(tuple(tried), suggest(tried, samples), session.config.batch_size, ended, samples)


def suggest(tried: Sequence[BatchMeasurement], samples: int) -> int:
    """The smallest size that reaches nine tenths of the best throughput, of those with enough steps an epoch.

    samples: drawn in an epoch. If too few for each size that was tried, the largest size with enough steps.
    """
    fitting = [each for each in tried if samples // each.size >= LEAST_STEPS]
    if not fitting:
        return max(1, samples // LEAST_STEPS)
    best = max(each.throughput for each in fitting)
    return next(each.size for each in fitting if each.throughput >= ENOUGH * best)


def _measure(session: Session, size: int) -> BatchMeasurement:
    module, device = session.module, session.device
    batch = median_length_batch(session.data, size).to(device)
    optimizer = optimizer_of(module)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # so that the weights stay finite
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with preserved_state(module, training=True):
        timing = latency.measure(lambda: session.step(module, optimizer, batch), device, _SECONDS, few=5)
    peak = (
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else activation_bytes(module, batch)
    )
    return BatchMeasurement(size, size / timing.p50, peak, timing.p50)


def _free_memory(device: torch.device) -> int | None:
    """Free memory in bytes; None: unknown, or a GPU, which raises an error when it is full."""
    if device.type == "cuda":
        return None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    (available,) = (line for line in lines if line.startswith("MemAvailable"))
    return 1024 * int(available.split()[1])


def describe(found: BatchCurve, command: Sequence[str]) -> Iterator[RenderableType]:
    """A table with a row per size, then the suggestion."""
    rows = [(t.size, t.throughput, t.memory, t.seconds, found.samples // t.size) for t in found.tried]
    yield batch_table(rows, found.suggestion)
    steps = plural(found.samples // found.suggestion, "step")
    if found.suggestion < found.tried[0].size:
        yield f"{found.suggestion} leaves {steps} an epoch; larger batches leave fewer than {LEAST_STEPS}"
    else:
        yield (
            f"{found.suggestion:,} ({steps} an epoch) is the smallest batch with nine tenths of the best throughput "
            f"of those that leave {LEAST_STEPS} steps or more; the largest that was tried is {rows[-1][0]:,}: "
            f"{found.ended}"
        )
    yield suggested_commands(command, f"batch_size={found.suggestion}")
    if found.suggestion != found.now:
        yield (
            f"from batch_size={found.now} to {found.suggestion} the learning rate should be tuned again: "
            f"leyden find lr ... batch_size={found.suggestion}"
        )


def figure(found: BatchCurve) -> Figure:
    """Figure of throughput and memory against the batch size."""
    return batch_figure([(t.size, t.throughput, t.memory) for t in found.tried], found.suggestion, found.now)
