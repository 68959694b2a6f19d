"""What is looked at: a module at its initial weights, a few training samples, and a copy that has learnt them."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from leyden.data.batch import Batch
from leyden.health.settings import DiagnosticsSettings
from leyden.modules.standalone import preserved_state

SAMPLES = 16
STEPS = 200
OVERFITTED = 0.1  # of the loss at the start, from where on a batch counts as learnt by heart
_RATES = (1e-3, 1e-2, 1e-4)  # of Adam, tried in turn


@dataclass(frozen=True)
class OverfitCopy:
    """A copy that was trained on one batch: its loss before and after, in how many steps, at which rate."""

    module: LightningModule
    before: float
    after: float
    steps: int
    rate: float

    @property
    def has_overfitted(self) -> bool:
        """Whether it knows the batch by heart."""
        return self.after < OVERFITTED * self.before


@dataclass(frozen=True)
class ModelUnderTest:
    """A model to be held to the contract.

    Args:
        module: with `prepare(batch)` and `forward(batch)`, as a Classifier; never changed here.
        batch: raw inputs of a few samples of each class, on the module's device.
        classes: how many there are.
        policy: thresholds.
        rebuild: makes the module anew, at other weights.
    """

    module: LightningModule
    batch: Batch
    classes: int
    policy: DiagnosticsSettings
    rebuild: Callable[[], LightningModule]

    @property
    def net(self) -> nn.Module:
        """What is between prepared inputs and logits."""
        net: nn.Module = self.module.net  # type: ignore[assignment]
        return net

    @cached_property
    def prepared(self) -> Batch:
        """The net's input."""
        with preserved_state(self.module), torch.no_grad():
            prepare: Any = self.module.prepare
            made: Batch = prepare(self.batch)
            return made

    def logits(self, batch: Batch | None = None, module: LightningModule | None = None) -> Tensor:
        """Logits (B, C) of a prepared batch, as in evaluation."""
        module = module or self.module
        with preserved_state(module), torch.no_grad():
            logits: Tensor = module(self.prepared if batch is None else batch)
            return logits.detach()

    def loss(self, logits: Tensor) -> float:
        """Mean cross-entropy."""
        return float(F.cross_entropy(logits.float(), self.batch.targets))

    @cached_property
    def memory(self) -> OverfitCopy:
        """Adam on the one batch, unaugmented and without dropout, until it is known by heart."""
        tried: list[OverfitCopy] = []
        for rate in _RATES:
            tried.append(self._memorise(rate))
            if tried[-1].has_overfitted:
                break
        return min(tried, key=lambda memory: memory.after)

    def _memorise(self, rate: float) -> OverfitCopy:
        module = copy.deepcopy(self.module)
        parameters = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=rate)
        before = after = self.loss(self.in_training(module).detach())
        steps = 0
        while steps < STEPS and after >= OVERFITTED * before:
            loss = F.cross_entropy(self.in_training(module).float(), self.batch.targets)
            if not loss.requires_grad:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after, steps = float(loss.detach()), steps + 1
        return OverfitCopy(module, before, after, steps, rate)

    def in_training(self, module: LightningModule, batch: Batch | None = None) -> Tensor:
        """Logits of a prepared batch in training mode, but without dropout: batch norm by the batch itself."""
        with preserved_state(module, training=True):
            for part in module.modules():
                if isinstance(part, nn.modules.dropout._DropoutNd):
                    part.eval()
            logits: Tensor = module(self.prepared if batch is None else batch)
        return logits


class Trace:
    """What every module gave, in the order in which they finished; to find where two passes part."""

    def __init__(self) -> None:
        self._given: list[tuple[str, Tensor]] = []

    @contextmanager
    def watching(self, root: nn.Module) -> Iterator["Trace"]:
        """For the time of one forward pass."""
        handles = [m.register_forward_hook(self._note(name)) for name, m in root.named_modules() if name]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._given += [(name, t.detach().clone()) for t in tree_leaves(output) if isinstance(t, Tensor)]

        return hook

    def parts_from(self, other: "Trace", differ: Callable[[Tensor, Tensor], bool]) -> str:
        """The first module that gave something else; "" if none of them did."""
        for (name, mine), (_, theirs) in zip(self._given, other._given, strict=False):
            if mine.shape == theirs.shape and differ(mine, theirs):
                return name
        return ""
