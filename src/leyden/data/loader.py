"""Whole batches, gathered at once, with an exact position: what the Trainer iterates over.

An epoch's order is one array made by `sampling`; a batch is a slice of it. So neither the number of ranks,
nor of accumulation steps, nor of worker processes changes which samples stand in a global batch, and a
resume starts at its batch without replaying any.

    loader = Loader({"image": column}, targets, rows, EpochSampler(...), batch_size=32)
    for batch in loader: ...                       # epoch 0; the next loop is epoch 1
    loader.load_state_dict(checkpoint)             # goes on with the batch after the last one handed out
"""

import signal
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from leyden.data.batch import Batch, Input
from leyden.data.sampler import Order
from leyden.utils.errors import UserError
from leyden.utils.runtime import STOPS, available_cores

Gathered = dict[str, Input]  # by name


class Column(Protocol):
    """A column of inputs: dense, ragged, or files that are decoded when asked for."""

    def gather(self, rows: Tensor) -> Input:
        """The inputs of `rows` (B,): (B, ...), or padded (B, T) with the lengths (B,)."""


def shares(
    length: int, batch_size: int, rank: int, world: int, accumulate: int, training: bool
) -> tuple[NDArray[np.int64], int]:
    """The positions of the global order that one rank takes, in turn, and how many make one batch.

    Training: global batch t is the positions t * G .. (t + 1) * G - 1; accumulation step a of rank r takes
    the (a * world + r)-th of its world * accumulate equal slices. The last partial global batch is dropped;
    if there is no whole one, all samples that can be divided make one. Evaluation: each position once over all ranks,
    rank r takes r, r + world, ...; the last batch may be smaller, and a rank may have one batch fewer than another.
    Raises UserError if the global batch cannot be divided.
    """
    if not training:
        return np.arange(rank, length, world), max(1, batch_size // world)
    parts = world * accumulate
    if batch_size % parts:
        raise UserError(
            f"batch_size={batch_size} is the global batch and cannot be divided by {world} ranks x"
            f" {accumulate} accumulation steps: choose a multiple of {parts},"
            f" such as {-(-batch_size // parts) * parts}"
        )
    whole = min(batch_size, length // parts * parts)
    if length and not whole:
        raise UserError(
            f"{length} training samples cannot be divided among {world} ranks x {accumulate} accumulation steps: "
            "choose fewer of both"
        )
    steps = length // whole if whole else 0
    local = whole // parts
    cut = np.arange(steps * whole).reshape(steps, accumulate, world, local)
    return cut[:, :, rank].reshape(-1), max(1, local)


class Loader:
    """An iterable of `Batch`; one pass is one epoch (of this rank)."""

    def __init__(
        self,
        inputs: Mapping[str, Column],
        targets: Tensor,
        rows: NDArray[np.int64],
        order: Order,
        batch_size: int,
        *,
        training: bool = True,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        workers: int = 0,
        pin: bool = False,
    ) -> None:
        """Settle this rank's share; nothing is gathered yet.

        inputs: columns by name, each of all rows of the table; targets: (N, ...), of all rows of the table.
        rows: int64 (n,), the rows of the table that belong to this split; `order` indexes them.
        batch_size: the global one; world * accumulate divides it.
        training: else evaluation, which starts from the first batch at each pass and keeps no position.
        workers: processes that gather; for inputs that decode files. 0: gather here, best for columns.
        pin: page-locked memory, for copies to a CUDA device that do not block.

        Raises UserError (see `shares`), and whatever UserError `inputs.gather` raises, in a worker too.
        """
        self._inputs, self._targets, self._rows, self._order = inputs, targets, rows, order
        self._training, self._pin = training, pin
        self._workers = min(workers, available_cores())
        self._fixed = {"batch_size": batch_size, "accumulate": accumulate}
        positions, self._local = shares(len(order), batch_size, rank, world, accumulate, training)
        self._positions = torch.from_numpy(positions)
        self._batches = -(-len(positions) // self._local)
        self.seconds = 0.0  # that batches have been waited for
        self.epoch = 0
        self.batch = 0  # batches of this epoch handed out: counted here, not in a worker, which runs ahead

    def __len__(self) -> int:
        """Batches in an epoch, on this rank."""
        return self._batches

    @property
    def sampler(self) -> "Loader":
        """Itself: Lightning calls `set_epoch` on a loader's sampler."""
        return self

    @property
    def batch_sampler(self) -> "Loader":
        """Itself: Lightning asks for it before an evaluation, to see whether the order is shuffled."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of `epoch`; in the epoch that is going on, stay where it is."""
        if epoch != self.epoch:
            self.epoch, self.batch = epoch, 0

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch.

        A generator: epoch and position are read at the first `next`, because Lightning calls `iter` before
        `set_epoch`.
        """
        epoch, first = self.epoch, self.batch if self._training else 0
        rows, targets, positions = self._arranged(epoch)
        size = self._local
        began = time.perf_counter()
        for k, inputs in enumerate(self._gathered(rows, first), first):
            self.seconds += time.perf_counter() - began
            if self._training:  # a checkpoint written at the last batch must not resume into an empty epoch
                self.epoch, self.batch = (epoch, k + 1) if k + 1 < self._batches else (epoch + 1, 0)
            part = slice(k * size, (k + 1) * size)
            present = self._present(rows[part])
            yield Batch(inputs, targets[part], rows[part], positions[part], epoch, present=present)
            began = time.perf_counter()

    def _present(self, rows: Tensor) -> dict[str, Tensor]:
        """bool (B,) by name, which rows have an input that some rows of the table lack."""
        several = ((name, getattr(column, "present", None)) for name, column in self._inputs.items())
        found = ((name, present(rows)) for name, present in several if present is not None)
        return {name: x.pin_memory() if self._pin else x for name, x in found if x is not None}

    def state_dict(self) -> dict[str, Any]:
        """Where it stands and what must not have changed; the same on every rank."""
        return {"epoch": self.epoch, "batch": self.batch, **self._identity}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the batch handed out last. Raises UserError naming a setting that differs."""
        for name, now in self._identity.items():
            if (then := state.get(name)) != now:
                raise UserError(
                    f"cannot resume: {name} is {now} and was {then} when the checkpoint was written, so the"
                    " order of the samples would be another: set it back, or start a new run"
                )
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])

    @cached_property
    def _identity(self) -> dict[str, Any]:
        rows = zlib.crc32(np.ascontiguousarray(self._rows).data)
        targets = self._targets[torch.from_numpy(self._rows)].numpy()
        checksum = zlib.crc32(np.ascontiguousarray(targets).data, rows)
        return {**self._fixed, **self._order.state(), "checksum of rows and targets": checksum}

    def _arranged(self, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, targets and positions (this rank's samples, ...) in the order in which they are handed out."""
        order = self._order.epoch(epoch)
        rows = torch.from_numpy(self._rows[order[self._positions.numpy()]])
        arranged = (rows, self._targets[rows], self._positions)
        return tuple(x.pin_memory() for x in arranged) if self._pin else arranged  # type: ignore[return-value]

    def _gathered(self, rows: Tensor, first: int) -> Iterator[Gathered]:
        """The inputs of each batch from number `first` on."""
        source = _Batches(self._inputs, rows, self._local)
        wanted = range(first, self._batches)
        batches = _decoded(source, wanted, self._workers) if self._workers else map(source.gather, wanted)
        if not self._pin:
            return iter(batches)
        return ({name: x.map(Tensor.pin_memory) for name, x in inputs.items()} for inputs in batches)


class _Failed(NamedTuple):
    """A user's mistake that a worker met: torch would bring it back with the worker's traceback."""

    message: str


class _Batches(Dataset[Gathered | _Failed]):
    """The inputs of whole batches, by the batch's number."""

    def __init__(self, inputs: Mapping[str, Column], rows: Tensor, size: int) -> None:
        self._inputs, self._rows, self._size = inputs, rows, size

    def gather(self, k: int) -> Gathered:
        rows = self._rows[k * self._size : (k + 1) * self._size]
        return {name: column.gather(rows) for name, column in self._inputs.items()}

    def __getitem__(self, k: int) -> Gathered | _Failed:
        try:
            return self.gather(k)
        except UserError as error:
            return _Failed(str(error))


def _unchanged(batch: Any) -> Any:
    """In place of torch's collating: a batch is whole already."""
    return batch


def _leave_signals_to_the_run(worker: int) -> None:
    """A terminal's Ctrl-C, and a cluster's warnings, reach all processes: a worker that dies of one fails the run.

    It ends when the run does: torch's workers watch for that.
    """
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def _decoded(source: _Batches, wanted: range, workers: int) -> Iterator[Gathered]:
    """The batches `wanted`, in order, gathered by worker processes."""
    loader = DataLoader(
        source,
        batch_size=None,
        sampler=wanted,
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_the_run,
        generator=torch.Generator(),  # else each epoch would draw from the global one: dropout would differ
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside threads; torch's workers reset what its threads hold
        warnings.filterwarnings("ignore", r".*use of fork\(\) may lead to deadlocks", DeprecationWarning)
        batches = iter(loader)
    for gathered in batches:
        if isinstance(gathered, _Failed):
            raise UserError(gathered.message)
        yield gathered
