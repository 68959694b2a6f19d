"""Traces the origin of a NaN or infinity: replays one training step under a mode that checks every operation.

The origin is the operation whose inputs are finite and whose output is not. Origins are propagated: the output of an
operation on a non-finite tensor inherits the origin of its input, so a mask of -inf that a softmax consumes is not
reported and the value that reaches the loss or a gradient is. If an infinity turns into a NaN, the origin is that of
the infinity, unless it was a constant (a mask): then it is the operation that turned it into a NaN.

This costs some milliseconds per operation in one step; permanent anomaly detection costs a quarter of all training.
"""

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from leyden.health.module_tracker import ModuleTracker

_CONSTANTS = ("masked_fill", "fill", "full", "where", "constant_pad", "scalar_tensor", "zeros", "empty")
# operations whose outputs hold uninitialised memory
_UNINITIALISED = ("empty", "new_empty", "empty_like", "empty_strided", "resize")


@dataclass(frozen=True)
class NonFiniteOrigin:
    """Origin of the first non-finite value.

    Args:
        kind: "nan" or "inf".
        operation: torch's name of the operation, "log"; empty if the value was in the batch or in the weights.
        module: qualified name of the module that computed it; "batch" or the name of the parameter that contained it.
        after: name of the module that finished before it.
        phase: "forward", "backward", "batch" or "weights".
        line: file:line of the calling code, the file as it is imported; empty in the backward pass.
        samples: indices in the batch of the affected samples; empty if the first axis is not the batch axis.
    """

    kind: str
    operation: str
    module: str
    after: str
    phase: str
    line: str = ""
    samples: tuple[int, ...] = ()


class NonFiniteTracer(TorchDispatchMode):
    """Dispatch mode that propagates the origin of non-finite values through every operation.

    Args:
        tracker: gives the name of the running module.
        batch_size: B, to recognise the batch axis; 0: samples are not identified.
    """

    def __init__(self, tracker: ModuleTracker, batch_size: int = 0) -> None:
        super().__init__()
        self._tracker, self._batch_size = tracker, batch_size
        self.backward = False
        self.first_backward: NonFiniteOrigin | None = None
        # storage -> origin of the first non-finite value, origin of the first NaN
        self._origins: dict[int, tuple[NonFiniteOrigin, NonFiniteOrigin | None]] = {}
        self._references: list[Tensor] = []  # keeps storages alive, so that no address is reused

    def mark(self, tensor: Tensor, origin: NonFiniteOrigin) -> None:
        """Register `origin` for a tensor that is already non-finite."""
        self._origins[_key(tensor)] = (origin, origin if origin.kind == "nan" else None)
        self._references.append(tensor)

    def origin_of(self, tensor: Tensor) -> NonFiniteOrigin | None:
        """Origin of a tensor's non-finite values; None: it is finite, or was computed outside of this mode."""
        if _is_finite(tensor):
            return None
        found = self._origins.get(_key(tensor))
        if found is None:
            return None
        first, nan = found
        constant = any(first.operation.startswith(name) for name in _CONSTANTS)
        return nan if constant and nan is not None else first

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and record the origin of non-finite values in its output."""
        kwargs = dict(kwargs or {})
        found = [self._origins.get(_key(t)) for t in _floats((args, kwargs)) if not _is_finite(t)]
        parents = [origins for origins in found if origins is not None]
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name.rstrip("_") not in _UNINITIALISED:
            for output in _floats(result):
                if not _is_finite(output):
                    self._propagate(output, name, parents)
        return result

    def _propagate(
        self, output: Tensor, name: str, parents: list[tuple[NonFiniteOrigin, NonFiniteOrigin | None]]
    ) -> None:
        first, nan = parents[0] if parents else (None, None)
        nan = nan or next((n for _, n in parents if n is not None), None)
        if first is None or (nan is None and bool(output.isnan().any())):
            origin = self._record_origin(output, name)
            first, nan = first or origin, origin if origin.kind == "nan" else nan
        self._origins[_key(output)] = (first, nan)
        self._references.append(output)

    def _record_origin(self, output: Tensor, name: str) -> NonFiniteOrigin:
        kind = "nan" if bool(output.isnan().any()) else "inf"
        samples: tuple[int, ...] = ()
        if self._batch_size and output.ndim and output.shape[0] == self._batch_size and not self.backward:
            bad = ~output.detach().reshape(self._batch_size, -1).isfinite().all(1)
            samples = tuple(int(i) for i in bad.nonzero().flatten())
        phase = "backward" if self.backward else "forward"
        line = "" if self.backward else _caller()
        origin = NonFiniteOrigin(
            kind, name.strip("_"), self._tracker.current, self._tracker.previous, phase, line, samples
        )
        if self.backward and self.first_backward is None:
            self.first_backward = origin
        return origin


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _floats(tree: Any) -> Iterator[Tensor]:
    return (
        t
        for t in tree_leaves(tree)
        if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex()) and t.numel()
    )


def _is_finite(tensor: Tensor) -> bool:
    with torch.utils._python_dispatch._disable_current_modes():
        return bool(tensor.detach().isfinite().all())


def _caller() -> str:
    """file:line of the innermost frame outside of torch, Lightning and this module; the file as it is imported."""
    for frame in reversed(traceback.extract_stack()):
        if (
            "/torch/" not in frame.filename
            and "/lightning/" not in frame.filename
            and frame.filename != __file__
        ):
            return f"{_below_import_path(frame.filename)}:{frame.lineno}"
    return ""


def _below_import_path(file: str) -> str:
    """Return "leyden/nets/image.py": short, and without the machine's folders, in a record that is handed on."""
    roots = [root for root in sys.path if Path(root).is_absolute() and Path(file).is_relative_to(root)]
    return str(Path(file).relative_to(max(roots, key=len))) if roots else file


def trace_step(
    root: nn.Module, tensors: Iterable[Tensor], step: Callable[[], Tensor], batch_size: int = 0
) -> tuple[NonFiniteOrigin | None, float]:
    """Replay one training step and locate its first non-finite value.

    Args:
        root: the trained module; only what a forward pass changes (such as running statistics) is changed.
        tensors: tensors of the batch.
        step: runs the forward pass and returns the loss ().
        batch_size: B, see `NonFiniteTracer`.

    Returns:
        (origin of the value that reaches the loss or else a gradient, None if all are finite; the loss).
    """
    tracker = ModuleTracker()
    tracer = NonFiniteTracer(tracker, batch_size)
    for tensor, origin in _non_finite_state(root):
        tracer.mark(tensor, origin)
    for tensor in tensors:
        if tensor.is_floating_point() and not _is_finite(tensor):
            bad = ~tensor.reshape(len(tensor), -1).isfinite().all(1)
            rows = tuple(int(i) for i in bad.nonzero().flatten())
            tracer.mark(tensor, NonFiniteOrigin(_kind(tensor), "", "batch", "", "batch", samples=rows))
    outputs: list[tuple[str, Tensor]] = []
    with tracker.watching(root), _record_outputs(root, outputs), tracer:
        loss = step()
        found = tracer.origin_of(loss)
        if found is None:
            found = _check_gradients(tracer, root, loss, outputs)
    return found, float(loss.detach())


def check_weights(root: nn.Module) -> NonFiniteOrigin | None:
    """Origin naming the first non-finite parameter or buffer; None: all are finite."""
    return next((origin for _, origin in _non_finite_state(root)), None)


def _non_finite_state(root: nn.Module) -> Iterator[tuple[Tensor, NonFiniteOrigin]]:
    for name, tensor in (*root.named_parameters(), *root.named_buffers()):
        if tensor.is_floating_point() and not _is_finite(tensor):
            yield tensor, NonFiniteOrigin(_kind(tensor), "", name, "", "weights")


@contextmanager
def _record_outputs(root: nn.Module, outputs: list[tuple[str, Tensor]]) -> Iterator[None]:
    """Append the outputs of every leaf module to `outputs`, in order of execution."""

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            outputs.extend((name, t) for t in _floats(output) if t.requires_grad)

        return hook

    leaves = [(name, m) for name, m in root.named_modules() if name and not any(m.children())]
    handles = [module.register_forward_hook(keep(name)) for name, module in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind(tensor: Tensor) -> str:
    return "nan" if bool(tensor.isnan().any()) else "inf"


def _check_gradients(
    tracer: NonFiniteTracer, root: nn.Module, loss: Tensor, outputs: list[tuple[str, Tensor]]
) -> NonFiniteOrigin | None:
    """Origin of a non-finite parameter gradient, at the module whose backward pass produced it.

    Going back from the loss, gradients of outputs are finite up to some module; that module is the origin.
    `autograd.grad` instead of `backward`: existing gradients are kept, and a data-parallel wrapper is not triggered.
    """
    trained = [(name, p) for name, p in root.named_parameters() if p.requires_grad]
    tracer.backward = True
    wanted = [p for _, p in trained] + [t for _, t in outputs]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    parameter_gradients, output_gradients = gradients[: len(trained)], gradients[len(trained) :]
    bad = [
        (name, g)
        for (name, _), g in zip(trained, parameter_gradients, strict=True)
        if not _is_finite_gradient(g)
    ]
    if not bad:
        return _find_overflow([(name, g) for (name, _), g in zip(trained, parameter_gradients, strict=True)])
    bad_outputs = [k for k, g in enumerate(output_gradients) if not _is_finite_gradient(g)]
    # an output's gradient is computed by its consumer: the module that ran next, or the loss after the last one
    if bad_outputs:
        later = [name for name, _ in outputs[bad_outputs[-1] :] if name != outputs[bad_outputs[-1]][0]]
        bad_modules = {name.rpartition(".")[0] for name, _ in bad}
        # of parallel branches, the one whose own parameters are affected; else the next module
        module = next((name for name in later if name in bad_modules), later[0] if later else "")
    else:
        module = bad[-1][0].rpartition(".")[
            0
        ]  # the gradient of its output is finite, that of its parameter is not
    first = tracer.first_backward
    kind, operation = (first.kind, first.operation) if first else (_kind(bad[-1][1]), "")
    return NonFiniteOrigin(
        kind, operation, module, outputs[bad_outputs[-1]][0] if bad_outputs else "", "backward"
    )


def _find_overflow(gradients: list[tuple[str, Tensor | None]]) -> NonFiniteOrigin | None:
    """Finite gradients whose squared norm overflows: the module with the largest gradient."""
    norms = {name: float(g.double().norm()) for name, g in gradients if g is not None}
    if sum(norm**2 for norm in norms.values()) < torch.finfo(torch.float32).max:
        return None
    largest = max(norms, key=lambda name: norms[name])
    return NonFiniteOrigin("inf", "norm", largest.rpartition(".")[0], "", "backward")


def _is_finite_gradient(gradient: Tensor | None) -> bool:
    return gradient is None or _is_finite(gradient)
