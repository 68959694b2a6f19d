"""How the steps of a run are computed: CPU threads, memory format, precision, compiled or not; and how that is set."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import MixedPrecision, Precision
from torch import nn
from torch.optim import Optimizer

from leyden.utils.text import plural


class Plan(NamedTuple):
    """A way to compute the same steps.

    Attributes:
        threads: of torch on the CPU.
        channels_last: whether weights of convolutions, and so the images between them, are in channels_last.
        bf16: whether forward and loss are computed in bf16-mixed, instead of the configured precision.
        compiled: whether the net is compiled.
    """

    threads: int
    channels_last: bool = False
    bf16: bool = False
    compiled: bool = False

    @property
    def words(self) -> str:
        """As it is printed: "1 thread, channels_last"."""
        chosen = [name for name in ("channels_last", "bf16", "compiled") if getattr(self, name)]
        return ", ".join([plural(self.threads, "thread"), *chosen])

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


def set_memory_format(module: nn.Module, optimizers: Iterable[Optimizer], channels_last: bool) -> None:
    """Lay out weights (O, I, H, W), their gradients and what optimizers keep of them; values stay.

    A fused optimizer takes a weight and its state for arrays of one layout, whatever their strides are.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for parameter in module.parameters():
        _lay_out(parameter, layout)
    for optimizer in optimizers:
        for weight, state in optimizer.state.items():
            for kept in state.values():
                if torch.is_tensor(kept) and kept.shape == weight.shape:
                    _lay_out(kept, layout)


def _lay_out(tensor: torch.Tensor, layout: torch.memory_format) -> None:
    if tensor.ndim != 4:
        return
    tensor.data = tensor.data.contiguous(memory_format=layout)
    if tensor.grad is not None:
        _lay_out(tensor.grad, layout)


def has_convolutions(module: nn.Module) -> bool:
    """Whether there are convolutions of images, whose memory format matters."""
    return any(isinstance(part, nn.Conv2d) for part in module.modules())
