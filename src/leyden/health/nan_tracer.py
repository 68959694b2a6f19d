"""Where a NaN or an infinity is born: one training step, done again under a mode that looks at every operation.

An operation gives birth where what it takes is finite and what it makes is not. Births are told apart by following
them: whatever is computed from a tensor that is not finite inherits its birth, so a mask of -inf that the softmax
swallows is no finding, and the one that reaches the loss or a gradient is. An infinity that becomes a NaN counts from
the infinity on, unless it was put there as a constant (a mask); then the operation that made a NaN of it counts.

Of one step this costs some milliseconds an operation; a permanent anomaly mode costs a quarter of all training.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from leyden.health.module_tracker import ModuleTracker

_CONSTANTS = ("masked_fill", "fill", "full", "where", "constant_pad", "scalar_tensor", "zeros", "empty")
_QUIET = ("empty", "new_empty", "empty_like", "empty_strided", "resize")  # what they return was not computed


@dataclass(frozen=True)
class NonFiniteOrigin:
    """The first value that is not finite.

    Args:
        kind: "nan" or "inf".
        operation: torch's name of the operation, "log"; empty where the value came in with a tensor.
        module: the module that computed it, by name; what it came in with: "batch", or the parameter's name.
        after: the module that had finished before.
        phase: "forward", "backward", "batch" or "weights".
        line: file:line of the code that called for it; empty in the backward pass.
        samples: places in the batch where it is, if the first axis is that of samples; else empty.
    """

    kind: str
    operation: str
    module: str
    after: str
    phase: str
    line: str = ""
    samples: tuple[int, ...] = ()


class NonFiniteTracer(TorchDispatchMode):
    """Follows values that are not finite through everything computed inside of it.

    Args:
        place: names the module at work.
        batch_size: B, to tell an axis of samples; 0: do not.
    """

    def __init__(self, place: ModuleTracker, batch_size: int = 0) -> None:
        super().__init__()
        self._place, self._batch_size = place, batch_size
        self.backward = False
        self.first_backward: NonFiniteOrigin | None = None
        self._known: dict[
            int, tuple[NonFiniteOrigin, NonFiniteOrigin | None]
        ] = {}  # by storage: the infinity's or NaN's, the NaN's
        self._held: list[Tensor] = []  # so that no storage's address is used again

    def mark(self, tensor: Tensor, birth: NonFiniteOrigin) -> None:
        """A tensor that came in as it is."""
        self._known[_key(tensor)] = (birth, birth if birth.kind == "nan" else None)
        self._held.append(tensor)

    def origin_of(self, tensor: Tensor) -> NonFiniteOrigin | None:
        """The birth that a tensor goes back to; None: it is finite, or was made outside of the watch."""
        if _finite(tensor):
            return None
        found = self._known.get(_key(tensor))
        if found is None:
            return None
        first, nan = found
        constant = any(first.operation.startswith(name) for name in _CONSTANTS)
        return nan if constant and nan is not None else first

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation, then see whether it gave birth."""
        kwargs = dict(kwargs or {})
        taken = [(t, self._known.get(_key(t))) for t in _floats((args, kwargs)) if not _finite(t)]
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name.rstrip("_") not in _QUIET:
            for made in _floats(result):
                if not _finite(made):
                    self._inherit(made, name, [found for _, found in taken if found is not None])
        return result

    def _inherit(
        self, made: Tensor, name: str, parents: list[tuple[NonFiniteOrigin, NonFiniteOrigin | None]]
    ) -> None:
        first, nan = parents[0] if parents else (None, None)
        nan = nan or next((n for _, n in parents if n is not None), None)
        if first is None or (nan is None and bool(made.isnan().any())):
            own = self._record_origin(made, name)
            first, nan = first or own, own if own.kind == "nan" else nan
        self._known[_key(made)] = (first, nan)
        self._held.append(made)

    def _record_origin(self, made: Tensor, name: str) -> NonFiniteOrigin:
        kind = "nan" if bool(made.isnan().any()) else "inf"
        samples: tuple[int, ...] = ()
        if self._batch_size and made.ndim and made.shape[0] == self._batch_size and not self.backward:
            bad = ~made.detach().reshape(self._batch_size, -1).isfinite().all(1)
            samples = tuple(int(i) for i in bad.nonzero().flatten())
        phase = "backward" if self.backward else "forward"
        line = "" if self.backward else _line()
        birth = NonFiniteOrigin(
            kind, name.strip("_"), self._place.current, self._place.previous, phase, line, samples
        )
        if self.backward and self.first_backward is None:
            self.first_backward = birth
        return birth


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _floats(tree: Any) -> Iterator[Tensor]:
    return (
        t
        for t in tree_leaves(tree)
        if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex()) and t.numel()
    )


def _finite(tensor: Tensor) -> bool:
    with torch.utils._python_dispatch._disable_current_modes():
        return bool(tensor.detach().isfinite().all())


def _line() -> str:
    """file:line of the innermost code that is neither torch's nor this module's."""
    for frame in reversed(traceback.extract_stack()):
        if (
            "/torch/" not in frame.filename
            and "/lightning/" not in frame.filename
            and frame.filename != __file__
        ):
            return f"{frame.filename}:{frame.lineno}"
    return ""


def trace_step(
    root: nn.Module, tensors: Iterable[Tensor], step: Callable[[], Tensor], batch_size: int = 0
) -> tuple[NonFiniteOrigin | None, float]:
    """Do one training step again and find where it goes wrong.

    Args:
        root: the module whose parameters are trained; nothing of it is changed but what a forward pass changes.
        tensors: of the batch.
        step: the forward pass -> loss ().
        batch_size: B.

    Returns:
        The birth that reaches the loss, else a gradient; None if all is finite. And the loss.
    """
    place = ModuleTracker()
    watch = NonFiniteTracer(place, batch_size)
    for tensor, birth in _non_finite(root):
        watch.mark(tensor, birth)
    for tensor in tensors:
        if tensor.is_floating_point() and not _finite(tensor):
            bad = ~tensor.reshape(len(tensor), -1).isfinite().all(1)
            rows = tuple(int(i) for i in bad.nonzero().flatten())
            watch.mark(tensor, NonFiniteOrigin(_kind(tensor), "", "batch", "", "batch", samples=rows))
    outputs: list[tuple[str, Tensor]] = []
    with place.watching(root), _recording(root, outputs), watch:
        loss = step()
        found = watch.origin_of(loss)
        if found is None:
            found = _check_gradients(watch, root, loss, outputs)
    return found, float(loss.detach())


def check_weights(root: nn.Module) -> NonFiniteOrigin | None:
    """The first parameter or buffer that is not finite; None: all are."""
    return next((birth for _, birth in _non_finite(root)), None)


def _non_finite(root: nn.Module) -> Iterator[tuple[Tensor, NonFiniteOrigin]]:
    for name, tensor in (*root.named_parameters(), *root.named_buffers()):
        if tensor.is_floating_point() and not _finite(tensor):
            yield tensor, NonFiniteOrigin(_kind(tensor), "", name, "", "weights")


@contextmanager
def _recording(root: nn.Module, outputs: list[tuple[str, Tensor]]) -> Iterator[None]:
    """Keep what each innermost module returns, in order."""

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
    watch: NonFiniteTracer, root: nn.Module, loss: Tensor, outputs: list[tuple[str, Tensor]]
) -> NonFiniteOrigin | None:
    """The birth of the backward pass that reaches a parameter's gradient, at the module that it came from.

    Seen from the loss, gradients are finite as far as some module's output; the next one before it is where it happens.
    `autograd.grad` and not `backward`: the gradients that are there stay, and a data-parallel wrapper hears nothing.
    """
    trained = [(name, p) for name, p in root.named_parameters() if p.requires_grad]
    watch.backward = True
    wanted = [p for _, p in trained] + [t for _, t in outputs]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    of_parameters, of_outputs = gradients[: len(trained)], gradients[len(trained) :]
    bad = [(name, g) for (name, _), g in zip(trained, of_parameters, strict=True) if not _clean(g)]
    if not bad:
        return _overflow([(name, g) for (name, _), g in zip(trained, of_parameters, strict=True)])
    dirty = [k for k, g in enumerate(of_outputs) if not _clean(g)]
    # an output's gradient is made by what took it: the module that ran next, or the loss after the last one
    if dirty:
        behind = [name for name, _ in outputs[dirty[-1] :] if name != outputs[dirty[-1]][0]]
        spoilt = {name.rpartition(".")[0] for name, _ in bad}
        # of parallel branches the one whose own parameters are spoilt; a module without any is the next in line
        module = next((name for name in behind if name in spoilt), behind[0] if behind else "")
    else:
        module = bad[-1][0].rpartition(".")[0]  # its output's gradient is clean, its parameter's is not
    first = watch.first_backward
    kind, operation = (first.kind, first.operation) if first else (_kind(bad[-1][1]), "")
    return NonFiniteOrigin(kind, operation, module, outputs[dirty[-1]][0] if dirty else "", "backward")


def _overflow(gradients: list[tuple[str, Tensor | None]]) -> NonFiniteOrigin | None:
    """Gradients that are finite, but too large for the square of their norm: the largest one's module."""
    norms = {name: float(g.double().norm()) for name, g in gradients if g is not None}
    if sum(norm**2 for norm in norms.values()) < torch.finfo(torch.float32).max:
        return None
    largest = max(norms, key=lambda name: norms[name])
    return NonFiniteOrigin("inf", "norm", largest.rpartition(".")[0], "", "backward")


def _clean(gradient: Tensor | None) -> bool:
    return gradient is None or _finite(gradient)
