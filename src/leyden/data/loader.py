"""Whole batches, gathered at once, with an exact position: what the Trainer iterates over.

An epoch's order is one array made by `sampling`; a batch is a slice of it. So neither the number of ranks,
nor of accumulation steps, nor of worker processes changes which samples stand in a global batch, and a
resume starts at its batch without replaying any.

    loader = Loader({"image": column}, targets, rows, EpochSampler(...), batch_size=32)
    for batch in loader: ...                       # epoch 0; the next loop is epoch 1
    loader.load_state_dict(checkpoint)             # goes on with the batch after the last one handed out
"""

import itertools
import signal
import time
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
# Samples whose rows and targets are laid out at once: memory does not grow with the epoch's length.
BLOCK = 2**16


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
        ahead: bool = False,
        device: torch.device | None = None,
    ) -> None:
        """Settle this rank's share; nothing is gathered yet.

        inputs: columns by name, each of all rows of the table; targets: (N, ...), of all rows of the table.
        rows: int64 (n,), the rows of the table that belong to this split; `order` indexes them.
        batch_size: the global one; world * accumulate divides it.
        training: else evaluation, which starts from the first batch at each pass and keeps no position.
        workers: processes that gather; for inputs that decode files. 0: gather here, best for columns.
        pin: page-locked memory, for copies to a CUDA device that do not block.
        ahead: whether a thread gathers the next batch meanwhile; workers do so anyway.
        device: where the columns lie that gather by rows which lie there, too; None: in memory.

        Raises UserError (see `shares`), and whatever UserError `inputs.gather` raises, in a worker too.
        """
        self._inputs, self._targets, self._rows, self._order = inputs, targets, rows, order
        self._training, self._pin, self._ahead, self._device = training, pin, ahead, device
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
        began = time.perf_counter()
        for k, (piece, inputs) in enumerate(self._gathered(self._pieces(epoch, first)), first):
            self.seconds += time.perf_counter() - began
            if self._training:  # a checkpoint written at the last batch must not resume into an empty epoch
                self.epoch, self.batch = (epoch, k + 1) if k + 1 < self._batches else (epoch + 1, 0)
            present = self._present(piece.rows)
            yield Batch(inputs, piece.targets, piece.rows, piece.positions, epoch, present=present)
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

    def _pieces(self, epoch: int, first: int) -> Iterator["_Piece"]:
        """What stands in each batch of this rank from number `first` on; laid out block by block."""
        order, size = self._order.epoch(epoch), self._local
        step = max(1, BLOCK // size) * size
        for begin in range(first * size, len(self._positions), step):
            positions = self._positions[begin : begin + step]
            rows = torch.from_numpy(self._rows[order[positions.numpy()]])
            laid = map(self._settled, (rows, self._targets[rows], positions))
            yield from map(_Piece._make, zip(*(x.split(size) for x in laid), strict=True))

    def _settled(self, x: Tensor) -> Tensor:
        """Pinned, or where the columns are."""
        found = x.pin_memory() if self._pin else x
        return found if self._device is None else found.to(self._device, non_blocking=True)

    def _gathered(self, pieces: Iterator["_Piece"]) -> Iterator[tuple["_Piece", Gathered]]:
        """Each with its inputs."""
        if self._workers:
            mine, theirs = itertools.tee(pieces)
            batches = _decoded(
                _Batches(self._inputs), (piece.rows.numpy() for piece in theirs), self._workers
            )
            return ((piece, self._pinned(inputs)) for piece, inputs in zip(mine, batches, strict=True))
        if self._ahead:
            return _gathered_ahead(pieces, self._gather)
        return ((piece, self._gather(piece.rows)) for piece in pieces)

    def _gather(self, rows: Tensor) -> Gathered:
        return self._pinned({name: column.gather(rows) for name, column in self._inputs.items()})

    def _pinned(self, inputs: Gathered) -> Gathered:
        if not self._pin or self._device is not None:
            return inputs
        return {name: x.map(Tensor.pin_memory) for name, x in inputs.items()}


class _Piece(NamedTuple):
    """What stands in a batch, (B, ...) each: rows of the table, targets, positions in the global order."""

    rows: Tensor
    targets: Tensor
    positions: Tensor


def _gathered_ahead(
    pieces: Iterator[_Piece], gather: Callable[[Tensor], Gathered]
) -> Iterator[tuple[_Piece, Gathered]]:
    """Each with its inputs, of which those of the next batch are being gathered by a thread."""
    pending: deque[tuple[_Piece, Future[Gathered]]] = deque()
    with ThreadPoolExecutor(1, "gather") as pool:
        for piece in pieces:
            pending.append((piece, pool.submit(gather, piece.rows)))
            if len(pending) > 1:
                ready, inputs = pending.popleft()
                yield ready, inputs.result()
        for ready, inputs in pending:
            yield ready, inputs.result()


class _Failed(NamedTuple):
    """A user's mistake that a worker met: torch would bring it back with the worker's traceback."""

    message: str


class _Batches(Dataset[Gathered | _Failed]):
    """The inputs of whole batches, by the rows int64 (B,) that are in them."""

    def __init__(self, inputs: Mapping[str, Column]) -> None:
        self._inputs = inputs

    def __getitem__(self, rows: NDArray[np.int64]) -> Gathered | _Failed:
        try:
            return {name: column.gather(torch.from_numpy(rows)) for name, column in self._inputs.items()}
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


def _decoded(source: _Batches, wanted: Iterator[NDArray[np.int64]], workers: int) -> Iterator[Gathered]:
    """The batches of these rows, in order, gathered ahead by worker processes."""
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
