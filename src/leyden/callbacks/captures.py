"""What passes through a module, copied as it passes: nothing is computed twice and no random number is drawn."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from leyden.data.batch import Batch, Input
from leyden.data.transforms.named import NamedFrontends

_VALUES = 1 << 14  # of a tensor, for a histogram


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
        self._given: dict[str, Input] = {}
        frontend = getattr(module, "frontend", None)
        self._names = list(frontend) if isinstance(frontend, NamedFrontends) else []
        self._handles = [module.register_forward_pre_hook(self._on_module)]
        frontends = [(name, frontend[name]) for name in self._names] or [("", frontend)]  # type: ignore[index]
        for name, part in frontends:
            if isinstance(part, nn.Module):
                self._handles.append(part.register_forward_pre_hook(partial(self._on_frontend, name)))
        for child in module.children():
            if child is not frontend and any(True for _ in child.parameters()):
                self._handles.append(child.register_forward_pre_hook(self._on_net))

    def take(self, raw: Batch) -> dict[str, Seen]:
        """Remove the hooks and return what was seen of each input, by its name ("" of one alone).

        Nothing where nothing that can be shown was. Of samples that lack an input the others are returned.

        Args:
            raw: the batch as the loader gave it, for a module that is never called with one.
        """
        for handle in self._handles:
            handle.remove()
        batch = _first(self._batch or raw, self._most)
        if self._names:
            seen = {name: self._of_input(name, batch) for name in self._names}
            return {name: found for name, found in seen.items() if len(found.batch.rows)}
        inputs = batch.input.values if self._inputs is None else self._inputs
        if len(inputs) != len(batch.rows):
            return {}
        given, lengths = self._given.get("", (None, None))
        return {"": Seen(batch, inputs, given, lengths)}

    def _of_input(self, name: str, batch: Batch) -> Seen:
        x, (given, lengths) = batch.inputs[name], self._given.get(name, (None, None))
        present = batch.present.get(name, torch.ones_like(batch.rows, dtype=torch.bool))

        def there(tensor: Any) -> Any:
            return None if tensor is None else tensor[present]

        rows, positions = there(batch.rows), there(batch.positions)
        own = Batch({name: x.map(there)}, there(batch.targets), rows, positions, batch.epoch)
        return Seen(own, there(x.values), there(given), there(lengths))

    def _on_module(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments and isinstance(arguments[0], Batch):
            self._batch = arguments[0]

    def _on_frontend(self, name: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if name not in self._given and arguments and isinstance(arguments[0], Input):
            self._given[name] = arguments[0].map(self._copy)

    def _on_net(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        found = next((x for x in _tensors(arguments) if x.ndim > 0), None)
        if self._inputs is None and found is not None:
            self._inputs = self._copy(found)

    def _copy(self, x: Tensor) -> Tensor:
        return x.detach()[: self._most].to("cpu", copy=True)


class OutputCapture:
    """Collects what a LightningModule of the user's own answers when it is called with a batch.

    Args:
        module: without `evaluations`.
        width: of its outputs (B, width); what has another shape is left out.
    """

    def __init__(self, module: nn.Module, width: int) -> None:
        self._width = width
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._handle = module.register_forward_hook(self._on_module)

    def take(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Remove the hook; (outputs, targets, rows) of all batches, on the CPU, or None."""
        self._handle.remove()
        if not self._parts:
            return None
        outputs, targets, rows = (torch.cat(column).cpu() for column in zip(*self._parts, strict=True))
        return outputs, targets, rows

    def _on_module(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        batch = arguments[0] if arguments else None
        if not isinstance(batch, Batch) or not isinstance(output, Tensor):
            return
        if output.shape == (len(batch.rows), self._width):
            self._parts.append((output.detach(), batch.targets, batch.rows))


class LayerCapture:
    """Copies a part of the weights' gradients at the next step, and of each layer's outputs in the next forward pass.

    Layers are the modules that hold matrices or kernels themselves. Gradients are those that the optimizer was given.

    Args:
        module: that is trained.
    """

    def __init__(self, module: nn.Module) -> None:
        self._named = {n: p for n, p in module.named_parameters() if p.requires_grad and p.ndim > 1}
        self._module = module
        self._handles: list[Any] = []
        self.gradients: dict[str, Tensor] = {}
        self.activations: dict[str, Tensor] = {}

    def watch_step(self, optimizers: Iterable[Optimizer]) -> None:
        """Copy gradients at the next step of each optimizer."""
        self._handles += [made.register_step_post_hook(self._on_step) for made in optimizers]

    def watch_forward(self) -> None:
        """Copy outputs of the layers in the next forward pass."""
        for name, part in self._module.named_modules():
            if any(p.ndim > 1 for p in part.parameters(recurse=False)):
                self._handles.append(part.register_forward_hook(partial(self._on_layer, name)))

    def remove(self) -> None:
        """Remove all hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def weights(self) -> dict[str, Tensor]:
        """A part of each weight as it is now."""
        return {name: part_of(p) for name, p in self._named.items()}

    def _on_step(self, optimizer: Optimizer, arguments: Any, named: Any) -> None:
        if not self.gradients:
            found = {n: p.grad for n, p in self._named.items() if p.grad is not None}
            self.gradients = {n: part_of(g) for n, g in found.items() if g.layout == torch.strided}

    def _on_layer(self, name: str, part: nn.Module, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if name not in self.activations and isinstance(first, Tensor) and first.is_floating_point():
            self.activations[name] = part_of(first)


def part_of(x: Tensor) -> Tensor:
    """float32 (n,): at most 16,384 evenly spaced values of `x`, on the CPU."""
    flat = x.detach().flatten()
    return flat[:: -(-len(flat) // _VALUES) or 1].to("cpu", torch.float32, copy=True)


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
        targets=cut(batch.targets),
        rows=cut(batch.rows),
        positions=cut(batch.positions),
        mix=mix,
        present={name: cut(x) for name, x in batch.present.items()},
    )
