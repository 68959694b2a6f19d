"""Faults to plant: nets, losses and optimizers that go wrong at a chosen place, deterministically.

A fault depends on what is in the batch and not on a count of steps, so that the step can be done again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from leyden.batch import Batch


def keys(inputs: Tensor) -> Tensor:
    """float64 (B,): what a sample is recognised by."""
    return inputs.detach().double().flatten(1).square().sum(1)


class Planted(nn.Module):
    """A net in which one module returns a value that is not finite, in training, for the samples with these keys.

    Args:
        net: any net.
        module: name of the module in it.
        triggers: keys of samples; others pass.
        value: what is put there.
        backward: put it into the gradient of the module's output instead.
    """

    def __init__(
        self,
        net: nn.Module,
        module: str,
        triggers: Sequence[float],
        value: float = float("nan"),
        backward: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.value, self.backward = net, value, backward
        self.register_buffer("triggers", torch.tensor(list(triggers), dtype=torch.float64), persistent=False)
        self._hit = torch.zeros(0, dtype=torch.long)
        net.get_submodule(module).register_forward_hook(self._spoil)

    @property
    def feature_width(self) -> int:
        """Of the net within."""
        return int(self.net.feature_width)  # type: ignore[arg-type]

    @property
    def head(self) -> Any:
        """Of the net within."""
        return self.net.head

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As the net."""
        close = torch.isclose(keys(x)[:, None], self.triggers[None], rtol=1e-6, atol=0)
        self._hit = close.any(1).nonzero().flatten() if self.training else self._hit[:0]
        out: Tensor = self.net(x) if lengths is None else self.net(x, lengths)
        return out

    def _spoil(self, module: nn.Module, args: Any, output: Any) -> Any:
        return tree_map(self._spoiled, output) if len(self._hit) else output

    def _spoiled(self, output: Any) -> Any:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return output
        if self.backward:
            return _BadGradient.apply(output)
        place = self._hit[self._hit < len(output)]
        bad = output.clone()
        bad[place if len(place) else 0] = self.value
        return bad


class _BadGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("nan")


def keys_of(module: Any, batches: Sequence[Batch]) -> list[Tensor]:
    """The keys of each batch as the net will see it, without augmentation."""
    module.eval()
    with torch.no_grad():
        found = [keys(module.prepare(batch).inputs) for batch in batches]
    module.train()
    return found


class SpoilWeights(Callback):
    """Writes NaN into a weight after so many optimizer steps: an update that went wrong.

    Args:
        step: after which.
        name: of the parameter; the first where none is given.
    """

    def __init__(self, step: int, name: str = "") -> None:
        self.step, self.name = step, name

    def on_train_batch_end(self, trainer: Trainer, module: Any, *_: Any) -> None:
        """Spoil it."""
        if trainer.global_step == self.step:
            parameters = dict(module.named_parameters())
            name = self.name or next(iter(parameters))
            with torch.no_grad():
                parameters[name].view(-1)[0] = float("nan")
