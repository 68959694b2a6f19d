"""Faults to plant: nets, losses and optimizers that go wrong at a chosen place, deterministically.

A fault depends on what is in the batch and not on a count of steps, so that the step can be done again.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from leyden.data.batch import Batch
from leyden.data.index import Index


def keys(inputs: Tensor) -> Tensor:
    """float64 (B,): what a sample is recognised by."""
    values = inputs.detach().double().flatten(1)
    places = torch.arange(values.shape[1], dtype=torch.float64, device=values.device)
    return values.square() @ (
        1.5 + (places**2).sin()
    )  # a plain sum is nearly the same for standardised inputs


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
        found = [keys(module.prepare(batch).input.values) for batch in batches]
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


class _Altered:
    """A source with something wrong in it; its split is its own: 70 % train, 15 % val, 15 % test.

    Args:
        source: any source.
        wrong_labels: share of all labels that are another class.
        leaked: share of val and test rows whose input is that of a training row of the same class.
        constant: share of inputs that hold one value.
        rotated: whether the classes of val and test are shifted by one.
        inverted: whether the inputs of val and test are another kind of picture.
    """

    def __init__(
        self,
        source: Any,
        wrong_labels: float = 0.0,
        leaked: float = 0.0,
        constant: float = 0.0,
        rotated: bool = False,
        inverted: bool = False,
    ) -> None:
        self.source, self.wrong_labels, self.leaked = source, wrong_labels, leaked
        self.constant, self.rotated, self.inverted = constant, rotated, inverted
        self._index: Index = source.index()
        n = len(self._index)
        rng = np.random.default_rng(0)
        self._split = np.zeros(n, dtype=np.int8)
        places = rng.permutation(n)
        self._split[places[: int(0.15 * n)]] = 1
        self._split[places[int(0.15 * n) : int(0.3 * n)]] = 2
        self._labels = self._index.targets.copy()
        classes = len(self._index.target_names)
        wrong = rng.random(n) < wrong_labels
        self._labels[wrong] = (self._labels[wrong] + rng.integers(1, classes, wrong.sum())) % classes
        if rotated:
            self._labels[self._split > 0] = (self._labels[self._split > 0] + 1) % classes
        self._of = np.arange(n)
        for row in np.flatnonzero((self._split > 0) & (rng.random(n) < leaked)):
            alike = np.flatnonzero((self._split == 0) & (self._labels == self._labels[row]))
            self._of[row] = rng.choice(alike)
        self._constant = rng.random(n) < constant

    def fingerprint(self, cache: Path) -> str:
        """Of the source, and of what is wrong."""
        wrong = (
            *(self.wrong_labels, self.leaked, self.constant),
            *(self.rotated, self.inverted),
        )
        return f"{self.source.fingerprint(cache)}-{hash(wrong) & 0xFFFFFFFF:08x}"

    def index(self) -> Index:
        """Of the source, altered."""
        return replace(self._index, targets=self._labels, split=self._split, truth=None)

    def decode(self, row: int) -> np.ndarray:
        """Of the source, altered."""
        value = self.source.decode(int(self._of[row]))
        if self._constant[row]:
            return np.full_like(value, 32 if self.modality == "text" else 0)
        return 255 - value if self.inverted and self._split[row] else value

    modality: ClassVar[str] = "image"

    def facts(self) -> dict[str, Any]:
        """Of the source."""
        return dict(self.source.facts())


class AlteredImages(_Altered):
    """Of images."""


class AlteredText(_Altered):
    """Of texts."""

    modality: ClassVar[str] = "text"


class AlteredAudio(_Altered):
    """Of recordings."""

    modality: ClassVar[str] = "audio"


class LogOfZero(nn.Module):
    """Cross-entropy written as people do who have not met its logarithm of 0."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,)."""
        chosen = torch.softmax(logits * 400, 1)[torch.arange(len(labels)), labels]
        return -torch.log(chosen)


class Deaf(nn.Module):
    """A net that does not hear its inputs: its outputs are its biases."""

    def __init__(self, num_outputs: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.head = nn.Linear(1, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, num_outputs)."""
        return self.head(x.flatten(1)[:, :1] * 0)


class OneClass(nn.Module):
    """A loss that only knows the first class."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,)."""
        return nn.functional.cross_entropy(logits, torch.zeros_like(labels), reduction="none")


class Half(nn.Module):
    """A net that computes its features in 16 bits, where 65,504 is the largest number."""

    def __init__(self, net: nn.Module, module: str) -> None:
        super().__init__()
        self.net = net
        net.get_submodule(module).register_forward_hook(lambda m, args, out: (out * 1e6).half().float())

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As the net."""
        out: Tensor = self.net(x) if lengths is None else self.net(x, lengths)
        return out


class Shifted(nn.Module):
    """A net in which a bias starts at -10 (or whatever): no unit behind it ever fires."""

    def __init__(self, net: nn.Module, parameter: str, value: float = -10.0) -> None:
        super().__init__()
        self.net = net
        with torch.no_grad():
            net.get_parameter(parameter).fill_(value)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As the net."""
        out: Tensor = self.net(x) if lengths is None else self.net(x, lengths)
        return out


class Exploding(nn.Module):
    """A recurrent net without a squashing function whose state grows tenfold at every token."""

    def __init__(self, num_outputs: int, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 16)
        self.step = nn.Linear(16, 16)
        with torch.no_grad():
            self.step.weight.copy_(1e3 * torch.eye(16))
        self.head = nn.Linear(16, num_outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Ids (B, T) -> (B, C)."""
        state = torch.zeros(len(x), 16)
        for t in range(x.shape[1]):
            state = self.step(state) + self.embedding(x[:, t])
        logits: Tensor = self.head(state)
        return logits


class Frozen(torch.optim.SGD):
    """An optimizer that was given copies of the parameters."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        copies = [p.detach().clone().requires_grad_() for group in params for p in group["params"]]
        super().__init__(copies, lr=lr)
