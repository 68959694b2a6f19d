"""Floating-point operations of whatever a net does, by layer: 2 for each multiplication with its addition.

torch's own counter does the counting (`torch.utils.flop_counter`), which sees matrix products and convolutions and
leaves out what costs little beside them: activations, norms, pooling, look-ups. On a CPU, and with cuDNN, torch hides
an LSTM or an attention in one operator that the counter reads as 0; here they are made to run as the products that
they are. A layer with weights that ran and counted nothing is named, never passed over.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# weights of more than one dimension that are not multiplied as matrices
_NO_MATRIX = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Flops:
    """What was counted.

    total: of everything. layers: of each module what its children do not do, by name; "" is the root itself.
    uncounted: modules with weights that ran and counted nothing: the total is too small by what they do.
    """

    total: int
    layers: dict[str, int]
    uncounted: tuple[str, ...] = ()


def count(root: nn.Module, work: Callable[[], object]) -> Flops:
    """Do the work once and count it.

    Args:
        root: the module in which the work is done; names are those in it.
        work: calls `root`, or parts of it; with gradients, their operations count too.
    """
    ran: set[str] = set()
    with ExitStack() as stack:
        for name, module in root.named_modules():
            handle = module.register_forward_hook(lambda *_, name=name: ran.add(name))
            stack.callback(handle.remove)
        stack.enter_context(_as_products(root))
        counter = stack.enter_context(FlopCounterMode(display=False))
        work()
    layers = _own(counter.get_flop_counts(), root)
    uncounted = [name for name in ran if not layers.get(name) and _multiplies(root.get_submodule(name))]
    return Flops(int(counter.get_total_flops()), layers, tuple(sorted(uncounted)))


def _multiplies(module: nn.Module) -> bool:
    if isinstance(module, _NO_MATRIX) or (
        any(module.children()) and not isinstance(module, nn.MultiheadAttention)
    ):
        return False
    return any(p.ndim > 1 for p in module.parameters(recurse=False))


@contextmanager
def _as_products(root: nn.Module) -> Iterator[None]:
    """For the time of the block, no layer is one opaque operator."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in root.modules())
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # torch's flags speak of TF32 on Intel GPUs
        if recurrent:  # convolutions alone stay with oneDNN and cuDNN, which are many times faster
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def _own(counts: dict[str, dict[Any, int]], root: nn.Module) -> dict[str, int]:
    """Of each module what is its own: torch's counter gives a module all that its children do as well."""
    above = f"{type(root).__name__}."
    totals = {name.removeprefix(above): sum(by.values()) for name, by in counts.items() if name != "Global"}
    totals[""] = totals.pop(type(root).__name__, 0) or sum(counts.get("Global", {}).values())
    own = dict(totals)
    for name in totals:
        if name:
            parent = name.rpartition(".")[0]
            while parent not in totals:
                parent = parent.rpartition(".")[0]
            own[parent] -= totals[name]
    return {name: value for name, value in own.items() if value}
