"""A batch of a run as what explanations are spread over: the net's input, embedded tokens, token ids, a waveform.

Each class holds one batch: its `values`, the `places` of its units, and the net's outputs of other values there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from leyden.data.batch import Batch, Input
from leyden.data.tokenizers import UNKNOWN_ID
from leyden.data.transforms.audio import as_float, lengths_of, valid
from leyden.inference.load import LoadedRun
from leyden.inference.predictor import outputs_of, prepared

STRETCH = 0.01  # seconds of a waveform that are one unit
FRAMES = 10  # of features or stretches, that occlusion takes away at once: .1 s where they are 10 ms
_SAME = 1e-4  # of outputs, relative to the largest: rounding


class Inputs:
    """The net's input as it gets it: pictures (B, C, H, W), features (B, 1, bins, frames), arrays of any shape.

    Units are pixels or cells, of which channels are summed; of other shapes each number is one.

    Args:
        run: loaded.
        batch: as the loader gives it.
    """

    unit: ClassVar[str] = "cell"

    def __init__(self, run: LoadedRun, batch: Batch) -> None:
        self.run = run
        self.batch = self._ready(batch)
        self.values = self._values()

    def of(self, batch: Batch) -> "Inputs":
        """Another batch, seen alike."""
        return type(self)(self.run, batch)

    def _ready(self, batch: Batch) -> Batch:
        return prepared(self.run, batch)

    def _values(self) -> Tensor:
        return self.batch.input.values.float()

    @property
    def places(self) -> Tensor:
        """Bool (B, *units), the units that there are."""
        whole = torch.ones_like(self.to_units(self.values), dtype=torch.bool)
        lengths = self.batch.input.lengths
        if lengths is None:
            return whole
        inside = valid(lengths.clamp(min=1), whole.shape[-1])
        return whole & inside.reshape(len(inside), *[1] * (whole.ndim - 2), -1)

    @property
    def window(self) -> tuple[int, ...]:
        """Of occlusion, in units: a sixth of each side, of 10 ms ten."""
        sides = self.places.shape[1:]
        if self.batch.input.lengths is None:
            return tuple(max(1, round(side / 6)) for side in sides)
        return (*(max(1, round(side / 6)) for side in sides[:-1]), min(FRAMES, sides[-1]))

    def outputs(self, values: Tensor, at: Tensor) -> Tensor:
        """Outputs (M, K) of values (M, ...) in place of those of the samples `at` int64 (M,)."""
        return self._outputs(taken(self.batch, at), values)

    def _outputs(self, batch: Batch, values: Tensor) -> Tensor:
        return outputs_of(self.run, with_values(batch, values))

    def to_units(self, x: Tensor) -> Tensor:
        """(M, ...) like values -> (M, *units)."""
        return x.sum(1) if self.values.ndim == 4 else x

    def from_units(self, x: Tensor) -> Tensor:
        """(M, *units) -> broadcastable to values (M, ...)."""
        return x[:, None] if self.values.ndim == 4 else x


class Embedded(Inputs):
    """What the net's embedding makes of token ids, (B, T, D); units are tokens.

    Args:
        run: loaded.
        batch: of token ids.
        readers: the embeddings that read them, whose outputs stand side by side in D.
    """

    unit: ClassVar[str] = "token"

    def __init__(self, run: LoadedRun, batch: Batch, readers: Sequence[nn.Module]) -> None:
        self.readers = readers
        super().__init__(run, batch)

    @property
    def window(self) -> tuple[int, ...]:
        """One token."""
        return (1,)

    def of(self, batch: Batch) -> "Embedded":
        """Another batch, seen alike."""
        return Embedded(self.run, batch, self.readers)

    def _values(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([reader(self.batch.input.values) for reader in self.readers], dim=-1)

    def _outputs(self, batch: Batch, values: Tensor) -> Tensor:
        with _answering(self.readers, values, batch.input.values):
            return outputs_of(self.run, batch)

    def to_units(self, x: Tensor) -> Tensor:
        """(M, T, D) -> (M, T)."""
        return x.sum(-1)

    def from_units(self, x: Tensor) -> Tensor:
        """(M, T) -> (M, T, 1)."""
        return x[..., None]


class Tokens(Inputs):
    """Token ids as float (B, T), for nets that read them in another way: they can be replaced, not differentiated."""

    unit: ClassVar[str] = "token"

    @property
    def window(self) -> tuple[int, ...]:
        """One token."""
        return (1,)

    def _ready(self, batch: Batch) -> Batch:
        return batch

    def _outputs(self, batch: Batch, values: Tensor) -> Tensor:
        ids = values.round().to(batch.input.values.dtype)
        return outputs_of(self.run, prepared(self.run, with_values(batch, ids)))


class Cells(Inputs):
    """Numbers and categories of a table's row (B, D) as they are stored: they can be emptied, not differentiated."""

    unit: ClassVar[str] = "column"

    @property
    def window(self) -> tuple[int, ...]:
        """One column."""
        return (1,)

    @property
    def emptied(self) -> Tensor:
        """Like values: no cell has one."""
        numbers = len(self.run.spec.numbers)
        found = torch.zeros_like(self.values)
        found[:, :numbers] = float("nan")
        return found

    def _ready(self, batch: Batch) -> Batch:
        return batch

    def _outputs(self, batch: Batch, values: Tensor) -> Tensor:
        return outputs_of(self.run, prepared(self.run, with_values(batch, values.detach())))


class Waveform(Inputs):
    """The recording itself as float (B, n) in -1 .. 1; units are stretches of 10 ms."""

    unit: ClassVar[str] = "10 ms"

    def _ready(self, batch: Batch) -> Batch:
        # a module that prepares nothing expects the samples as they are stored
        real = as_float if hasattr(self.run.module, "prepare") else Tensor.float
        return batch.map_inputs(lambda x: Input(real(x.values), lengths_of(x)))

    @property
    def step(self) -> int:
        """Samples of a unit."""
        return max(1, round(STRETCH * self.run.spec.sample_rate))

    @property
    def places(self) -> Tensor:
        """Bool (B, units): those that hold a sample of the recording."""
        lengths = -(-self.batch.input.lengths // self.step)  # type: ignore[operator]
        return valid(lengths.clamp(min=1), -(-self.values.shape[1] // self.step))

    def _outputs(self, batch: Batch, values: Tensor) -> Tensor:
        return outputs_of(self.run, prepared(self.run, with_values(batch, values)))

    def to_units(self, x: Tensor) -> Tensor:
        """(M, n) -> (M, units)."""
        padded = nn.functional.pad(x, (0, -x.shape[1] % self.step))
        return padded.unflatten(1, (-1, self.step)).sum(2)

    def from_units(self, x: Tensor) -> Tensor:
        """(M, units) -> (M, n)."""
        return x.repeat_interleave(self.step, dim=1)[:, : self.values.shape[1]]


def tokens(run: LoadedRun, batch: Batch) -> Inputs:
    """Texts by the net's embedding; where it reads the ids in another way too, by the ids themselves."""
    ids = prepared(run, batch).input.values
    readers = _readers(run, batch)
    if not readers or ids.is_floating_point():
        return Tokens(run, batch)
    seen, masked = Embedded(run, batch, readers), masked_tokens(batch, UNKNOWN_ID)
    with torch.no_grad():
        everywhere = outputs_of(run, prepared(run, masked))
        by_embedding = seen.outputs(seen.of(masked).values, torch.arange(len(ids)))
    apart = (everywhere - by_embedding).abs().max() > _SAME * everywhere.abs().max()
    return Tokens(run, batch) if apart else seen


def masked_tokens(batch: Batch, token: int) -> Batch:
    """The batch with every token replaced; padding stays."""
    values, lengths = batch.input
    inside = valid(lengths_of(Input(values, lengths)), values.shape[1])
    return with_values(batch, torch.where(inside, torch.full_like(values, token), values))


def with_values(batch: Batch, values: Tensor) -> Batch:
    """The batch with other values of its one input."""
    return batch.map_inputs(lambda x: x._replace(values=values))


def taken(batch: Batch, at: Tensor) -> Batch:
    """The samples `at` int64 (M,) of a batch."""
    moved = batch.map_inputs(lambda x: x.map(lambda tensor: tensor[at]))
    return moved._replace(
        targets=batch.targets[at], rows=batch.rows[at], positions=batch.positions[at], mix=None
    )


def _readers(run: LoadedRun, batch: Batch) -> list[nn.Module]:
    """The embeddings of the net that are given the batch's token ids as they are."""
    found: list[nn.Module] = []
    ready = prepared(run, batch)

    def note(module: nn.Module, given: Any, output: Any) -> None:
        is_ids = given[0].shape == ready.input.values.shape and torch.equal(given[0], ready.input.values)
        if is_ids and module not in found:
            found.append(module)

    hooks = [m.register_forward_hook(note) for m in run.module.modules() if isinstance(m, nn.Embedding)]
    try:
        with torch.no_grad():
            outputs_of(run, ready)
    finally:
        for hook in hooks:
            hook.remove()
    return found


@contextmanager
def _answering(readers: Sequence[nn.Module], values: Tensor, ids: Tensor) -> Iterator[None]:
    """For the time of the block the embeddings give `values` (M, T, D) in place of the embedded `ids` (M, T)."""
    widths = [reader.embedding_dim for reader in readers]
    parts = dict(zip(readers, values.split(widths, dim=-1), strict=True))

    def answer(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        return parts[module] if given[0].shape == ids.shape and torch.equal(given[0], ids) else output

    hooks = [reader.register_forward_hook(answer) for reader in readers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
