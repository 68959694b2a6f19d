"""How the steps of a run are computed: CPU threads, memory format, precision, compiled or not; and how that is set."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import MixedPrecision, Precision
from torch import nn
from torch.optim import Optimizer

from leyden.utils.text import plural

_OWN = "_is_own_channels_last"  # of a weight: how the net had it


LAYOUTS = {"own": None, "contiguous": False, "channels_last": True}  # by the name of a memory format


class Plan(NamedTuple):
    """A way to compute the same steps.

    Attributes:
        threads: of torch on the CPU.
        channels_last: whether weights of convolutions, and so the images between them, are in channels_last; None: as
            the net has them.
        bf16: whether forward and loss are computed in bf16-mixed, instead of the configured precision.
        compiled: whether the net is compiled.
    """

    threads: int
    channels_last: bool | None = None
    bf16: bool = False
    compiled: bool = False

    @property
    def words(self) -> str:
        """As it is printed: "1 thread, channels_last"."""
        chosen = [name for name in ("bf16", "compiled") if getattr(self, name)]
        layout = [] if self.channels_last is None else [self.memory_format]
        return ", ".join([plural(self.threads, "thread"), *layout, *chosen])

    @property
    def memory_format(self) -> str:
        """channels_last, contiguous, or own."""
        return next(name for name, layout in LAYOUTS.items() if layout is self.channels_last)

    def precision(self, trainer: Trainer) -> Precision:
        """The Trainer's precision, or bf16."""
        return (
            MixedPrecision("bf16-mixed", trainer.strategy.root_device.type)
            if self.bf16
            else trainer.precision_plugin
        )

    def set_on(self, module: nn.Module, optimizers: Iterable[Optimizer] = ()) -> None:
        """Set threads, memory format and compilation; precision is the Trainer's."""
        torch.set_num_threads(self.threads)
        set_memory_format(module, optimizers, self.channels_last)
        net = getattr(module, "net", module)
        if self.compiled:
            net.compile()
        else:
            net._compiled_call_impl = None  # calls it as it is


def set_memory_format(module: nn.Module, optimizers: Iterable[Optimizer], channels_last: bool | None) -> None:
    """Lay out weights (O, I, H, W), their gradients and what optimizers keep of them; values stay.

    A fused optimizer takes a weight and its state for arrays of one layout, whatever their strides are.

    Args:
        module: whose weights they are.
        optimizers: of it.
        channels_last: else contiguous; None: as the net had them at first.
    """
    states = {weight: state for optimizer in optimizers for weight, state in optimizer.state.items()}
    for weight in module.parameters():
        if weight.ndim != 4:
            continue
        if not hasattr(weight, _OWN):
            setattr(weight, _OWN, is_channels_last(weight))
        is_last = getattr(weight, _OWN) if channels_last is None else channels_last
        layout = torch.channels_last if is_last else torch.contiguous_format
        _lay_out(weight, layout)
        for kept in states.get(weight, {}).values():
            if torch.is_tensor(kept) and kept.shape == weight.shape:
                _lay_out(kept, layout)


def is_channels_last(weight: torch.Tensor) -> bool:
    """Whether a weight (O, I, H, W) is so and not contiguous; one of size 1 x 1 may be both."""
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def _lay_out(tensor: torch.Tensor, layout: torch.memory_format) -> None:
    tensor.data = tensor.data.contiguous(memory_format=layout)
    if tensor.grad is not None:
        _lay_out(tensor.grad, layout)


def has_convolutions(module: nn.Module) -> bool:
    """Whether there are convolutions of images, whose memory format matters."""
    return any(isinstance(part, nn.Conv2d) for part in module.modules())
