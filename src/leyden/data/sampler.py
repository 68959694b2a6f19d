"""Which sample stands at (seed, epoch, position): pure functions of the labels, NumPy only.

A *policy* (`sampling_policies`) gives the share of each class in an epoch; the sampler turns the shares into whole
numbers and the numbers into an order. Inside a class every sample is used once before any is used again, also across
epochs. No generator's state is kept, so an epoch can be rebuilt anywhere: on each rank, after a resume.

    sampler = EpochSampler(labels, num_classes=10, policy=Power(q=0.5), seed=1)
    order = sampler.epoch(3)           # indices into the training rows, in the global order of epoch 3

NumPy promises its streams only within one release, so a run is resumed with the release it began with.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from leyden.data.sampling_policies import SamplingPolicy
from leyden.utils.errors import UserError

_SHUFFLE, _EXTRAS, _WITHIN, _BATCHES = range(4)  # streams: each use of random numbers has a key of its own
_BLOCK = 1024  # passes over a small class share one generator until they hold this many draws
_SNAP = 1e-6  # a quota this close to a whole number is meant to be whole: far above float64's error


class Order(Protocol):
    """What the loader reads: the indices of an epoch, and what must not change when a run is resumed."""

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Indices (L,) into the rows, in global order."""

    def __len__(self) -> int:
        """L, the same in every epoch."""

    def state(self) -> Mapping[str, Any]:
        """The settings that fix the order: plain values by the names a user knows."""


class Sequential:
    """The order of evaluation: 0 .. n - 1 in every epoch."""

    def __init__(self, n: int) -> None:
        """n: how many rows there are."""
        self._n = n

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """int64 (n,)."""
        return np.arange(self._n)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self._n

    def state(self) -> Mapping[str, Any]:
        """Only the length."""
        return {"length": self._n}


class EpochSampler:
    """The order of every epoch of training.

    Memory: 4 bytes a sample for the members of the classes, at most 4 more for passes begun and not
    finished, and 8 a draw for the order handed out.
    """

    def __init__(
        self,
        labels: NDArray[Any],
        num_classes: int,
        policy: SamplingPolicy,
        seed: int,
        length: int = 0,
        epochs: int = 1,
    ) -> None:
        """Sort the rows by class.

        labels: integers (N,) of the training rows, in 0 .. num_classes - 1.
        length: samples in an epoch; 0 leaves it to the policy.
        epochs: how many there will be, for a policy that changes with time.
        Raises UserError if there is no training row; `prior` and `epoch` do if the policy's shares are none.
        """
        if len(labels) == 0:
            raise UserError("sampling: the training split has no rows; give train a larger share in `split`")
        self.counts = np.bincount(labels, minlength=num_classes)
        self.policy, self.seed, self.epochs = policy, seed, epochs
        self._length = length or policy.length(self.counts)
        narrow = np.uint16 if num_classes <= 2**16 else np.int64  # NumPy sorts 16-bit keys by radix
        # rows of class c: members[starts[c] : starts[c + 1]], in their own order
        self._members = np.argsort(labels.astype(narrow), kind="stable").astype(np.int32)
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])
        self._before: tuple[int, NDArray[np.int64]] = (0, np.zeros(num_classes, np.int64))
        self._begun: dict[int, tuple[int, NDArray[np.int32]]] = {}

    def __len__(self) -> int:
        """Samples in an epoch."""
        return self._length

    def state(self) -> Mapping[str, Any]:
        """Policy, seed and length."""
        options = ", ".join(f"{k}={v!r}" for k, v in sorted(vars(self.policy).items()))
        name = f"{type(self.policy).__name__}({options})"
        return {"sampling": name, "seed": self.seed, "length": self._length}

    def prior(self, epoch: int) -> NDArray[np.float64]:
        """The class prior (C,) that the policy imposes in this epoch; its sum is 1."""
        prior = np.asarray(self.policy.prior(self.counts, epoch, self.epochs), dtype=np.float64)
        if (
            prior.shape != self.counts.shape
            or not np.isfinite(prior).all()
            or (prior < 0).any()
            or prior[self.counts == 0].any()
            or prior.sum() <= 0
        ):
            raise UserError(
                f"sampling: {type(self.policy).__name__}.prior must return {len(self.counts)} finite shares,"
                f" none negative, 0 for a class without training rows, and not all 0;"
                f" in epoch {epoch} it gave {prior}"
            )
        return prior / prior.sum()

    def quotas(self, epoch: int) -> NDArray[np.int64]:
        """Draws of each class (C,) in this epoch; they sum to the length of the plan exactly.

        Each is length * prior rounded down or up; systematic sampling decides which are rounded up, so
        that the expected number is length * prior.
        """
        wanted = self._length * self.prior(epoch)
        whole = np.where(np.abs(wanted - np.rint(wanted)) < _SNAP, np.rint(wanted), np.floor(wanted))
        part = np.maximum(wanted - whole, 0)
        quotas = whole.astype(np.int64)
        missing = self._length - int(quotas.sum())
        if missing:
            # systematic sampling: the parts are laid end to end over 0 .. missing, and a class gets one
            # more draw for each of the points 1 - start, 2 - start, ... that lies in its stretch
            open_ = np.flatnonzero(part > _SNAP)
            edges = np.cumsum(part[open_])
            edges *= missing / edges[-1]
            edges[-1] = missing
            start = self._rng(_EXTRAS, epoch).random()
            quotas[open_] += np.diff(np.floor(edges + start), prepend=0).astype(np.int64)
        return quotas

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Indices (L,) into the training rows: the global order of this epoch."""
        quotas, before = self.quotas(epoch), self.drawn(epoch)
        order = np.empty(self._length, dtype=np.int64)
        end = 0
        for c in np.flatnonzero(quotas).tolist():
            start, end = end, end + int(quotas[c])
            order[start:end] = self._draw(c, int(before[c]), end - start)
        self._rng(_SHUFFLE, epoch).shuffle(order)
        return order

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def drawn(self, epoch: int) -> NDArray[np.int64]:
        """Draws of each class (C,) in all epochs before this one."""
        done, total = self._before if self._before[0] <= epoch else (0, np.zeros_like(self.counts))
        for earlier in range(done, epoch):
            total = total + self.quotas(earlier)
        self._before = (epoch, total)
        return total

    def _draw(self, c: int, first: int, count: int) -> NDArray[np.int32]:
        """Draws number `first` to `first + count - 1` of class `c` since the start of training."""
        members = self._members[self._starts[c] : self._starts[c + 1]]
        passes = max(1, _BLOCK // len(members))
        size = passes * len(members)
        last = (first + count - 1) // size
        blocks = [self._block(c, b, passes, len(members)) for b in range(first // size, last + 1)]
        if (first + count) % size:
            self._begun[c] = (last, blocks[-1])  # the next epoch goes on in this block
        else:
            self._begun.pop(c, None)
        # draws number first .. first + count - 1 lie from place first % size on in these blocks
        places = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        skip = first % size
        return members[places[skip : skip + count]]

    def _block(self, c: int, block: int, passes: int, n: int) -> NDArray[np.int32]:
        """`passes` permutations of 0 .. n - 1, one after the other (passes * n,)."""
        begun, kept = self._begun.get(c, (-1, None))
        if kept is not None and begun == block:
            return kept
        rng, rows = self._rng(_WITHIN, c, block), np.tile(np.arange(n, dtype=np.int32), passes)
        if passes == 1:
            rng.shuffle(rows)  # twice as fast as `permuted` for a long row
            return rows
        return rng.permuted(rows.reshape(passes, n), axis=1).ravel()


def bucket_rows(
    order: NDArray[np.int64], lengths: NDArray[Any], batch: int, window: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """`order` (L,) rearranged so that the samples of a batch are about equally long: less padding.

    lengths: (N,), of the rows that `order` indexes. Inside each window of `window` batches the samples are
    sorted by length (equal ones stay in the order's own, random, sequence), cut into batches, and the
    batches shuffled. So each window keeps its samples. The last partial batch stays as it is, in its place.
    """
    full = len(order) // batch * batch
    head = order[:full]
    windows = np.arange(full) // (batch * window)
    # (batches, batch): by window, inside it by length; lexsort is stable, and its last key comes first
    head = head[np.lexsort((lengths[head], windows))].reshape(-1, batch)
    ticket = np.random.default_rng([seed, _BATCHES, epoch]).random(len(head))
    # the batches of a window in the order of their random tickets, the windows as they were
    shuffled = head[np.lexsort((ticket, windows[::batch]))]
    return np.concatenate([shuffled.ravel(), order[full:]])


class BucketedOrder:
    """An order whose batches hold samples of about equal length; see `bucket_rows`."""

    def __init__(self, order: Order, lengths: NDArray[Any], batch: int, window: int, seed: int) -> None:
        """lengths: (N,), of the rows that `order` indexes; batch: the global batch size; window: batches."""
        self._order, self._lengths = order, lengths
        self._batch, self._window, self._seed = batch, window, seed

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """int64 (L,)."""
        order = self._order.epoch(epoch)
        return bucket_rows(order, self._lengths, self._batch, self._window, self._seed, epoch)

    def __len__(self) -> int:
        """Samples in an epoch."""
        return len(self._order)

    def state(self) -> Mapping[str, Any]:
        """That of the order within, and the window."""
        return {**self._order.state(), "window": self._window}
