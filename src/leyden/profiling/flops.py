"""Floating-point operations (FLOPs) of a net by layer: 2 for each multiply-add.

Counted by torch (`torch.utils.flop_counter`): matrix products and convolutions; activations, norms, pooling and
embeddings are not counted. On a CPU and with cuDNN, torch runs an LSTM or attention as one operator that the counter
reads as 0; here they are decomposed into matrix products. Layers with weights that ran but counted 0 are listed.
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

# modules whose weights of two dimensions are not used in matrix products
_NO_PRODUCT = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Flops:
    """FLOPs of a call.

    Args:
        total: FLOPs of everything.
        layers: FLOPs of each module without its children, by name; "" is the root itself.
        uncounted: modules with weights that ran but counted 0: the total is too small by their FLOPs.
    """

    total: int
    layers: dict[str, int]
    uncounted: tuple[str, ...] = ()


def count(root: nn.Module, work: Callable[[], object]) -> Flops:
    """FLOPs of one call of `work`.

    Args:
        root: the module whose submodules are counted by name.
        work: calls `root` or parts of it; a backward pass within counts as well.
    """
    ran: set[str] = set()
    with ExitStack() as stack:
        for name, module in root.named_modules():
            handle = module.register_forward_hook(lambda *_, name=name: ran.add(name))
            stack.callback(handle.remove)
        stack.enter_context(_unfused(root))
        counter = stack.enter_context(FlopCounterMode(display=False))
        work()
    layers = _without_children(counter.get_flop_counts(), root)
    uncounted = [name for name in ran if not layers.get(name) and _multiplies(root.get_submodule(name))]
    return Flops(int(counter.get_total_flops()), layers, tuple(sorted(uncounted)))


def _multiplies(module: nn.Module) -> bool:
    if isinstance(module, _NO_PRODUCT) or (
        any(module.children()) and not isinstance(module, nn.MultiheadAttention)
    ):
        return False
    return any(p.ndim > 1 for p in module.parameters(recurse=False))


@contextmanager
def _unfused(root: nn.Module) -> Iterator[None]:
    """Disable fused kernels within the block, so that every layer runs as matrix products."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in root.modules())
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # torch's flags warn of TF32 on Intel GPUs
        if recurrent:  # nets without recurrent layers keep oneDNN and cuDNN, which are many times faster
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def _without_children(counts: dict[str, dict[Any, int]], root: nn.Module) -> dict[str, int]:
    """FLOPs of each module without its children, from torch's counts, which include children."""
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
