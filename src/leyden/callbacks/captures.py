"""What passes through a module, copied as it passes: nothing is computed twice and no random number is drawn."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from leyden.data.batch import Batch, Input


class Seen(NamedTuple):
    """The first samples of a batch as the net was given them, on the CPU.

    Args:
        batch: with targets, rows and, where it is mixed, `mix`.
        inputs: (n, ...) what the net got.
        given: (n, ...) what its frontend got, which is augmented already: waveforms, token ids; None: it has none.
        lengths: int64 (n,) valid entries of `given`; None: all.
    """

    batch: Batch
    inputs: Tensor
    given: Tensor | None
    lengths: Tensor | None


class InputCapture:
    """Copies the first samples of the next batch that goes through a LightningModule, Leyden's or the user's own.

    The net is the first of its modules with parameters that is called with a tensor; the batch is what the module
    itself is called with last.

    Args:
        module: whose next batch is wanted.
        most: samples that are copied.
    """

    def __init__(self, module: nn.Module, most: int) -> None:
        self._most = most
        self._batch: Batch | None = None
        self._inputs: Tensor | None = None
        self._given: Input | None = None
        frontend = getattr(module, "frontend", None)
        self._handles = [module.register_forward_pre_hook(self._on_module)]
        if isinstance(frontend, nn.Module):
            self._handles.append(frontend.register_forward_pre_hook(self._on_frontend))
        for child in module.children():
            if child is not frontend and any(True for _ in child.parameters()):
                self._handles.append(child.register_forward_pre_hook(self._on_net))

    def take(self, raw: Batch) -> Seen | None:
        """Remove the hooks and return what was seen; None where nothing that can be shown was.

        Args:
            raw: the batch as the loader gave it, for a module that is never called with one.
        """
        for handle in self._handles:
            handle.remove()
        batch = _first(self._batch or raw, self._most)
        inputs = batch.input.values if self._inputs is None else self._inputs
        if len(inputs) != len(batch.rows):
            return None
        given, lengths = self._given or (None, None)
        return Seen(batch, inputs, given, lengths)

    def _on_module(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments and isinstance(arguments[0], Batch):
            self._batch = arguments[0]

    def _on_frontend(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if self._given is None and arguments and isinstance(arguments[0], Input):
            self._given = arguments[0].map(self._copy)

    def _on_net(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        found = next((x for x in _tensors(arguments) if x.ndim > 0), None)
        if self._inputs is None and found is not None:
            self._inputs = self._copy(found)

    def _copy(self, x: Tensor) -> Tensor:
        return x.detach()[: self._most].to("cpu", copy=True)


def _tensors(arguments: tuple[Any, ...]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, Input):
            yield argument.values


def _first(batch: Batch, most: int) -> Batch:
    """The first samples of a batch, on the CPU."""

    def cut(x: Tensor) -> Tensor:
        return x.detach()[:most].cpu()

    mix = None if batch.mix is None else type(batch.mix)(*map(cut, batch.mix))
    kept = batch.map_inputs(lambda x: x.map(cut))
    return kept._replace(
        targets=cut(batch.targets), rows=cut(batch.rows), positions=cut(batch.positions), mix=mix
    )
