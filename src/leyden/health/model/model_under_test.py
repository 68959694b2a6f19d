"""The model under test: a module at its initial weights, a few training samples, and a copy overfitted to them."""

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
OVERFITTED = 0.1  # of the initial loss, below which a batch counts as overfitted
_RATES = (1e-3, 1e-2, 1e-4)  # learning rates of Adam, tried in turn


@dataclass(frozen=True)
class OverfitCopy:
    """A copy trained on a single batch: its loss before and after, the number of steps and the learning rate."""

    module: LightningModule
    before: float
    after: float
    steps: int
    rate: float

    @property
    def has_overfitted(self) -> bool:
        """Whether the loss fell below a tenth of its initial value."""
        return self.after < OVERFITTED * self.before


@dataclass(frozen=True)
class ModelUnderTest:
    """A model and the batch that it is checked with.

    Args:
        module: with `prepare(batch)` and `forward(batch)`, as a `Classifier`; never changed here.
        batch: raw inputs of a few samples of each class, on the module's device.
        classes: number of classes C.
        policy: thresholds.
        rebuild: builds a new module with other initial weights.
    """

    module: LightningModule
    batch: Batch
    classes: int
    policy: DiagnosticsSettings
    rebuild: Callable[[], LightningModule]

    @property
    def net(self) -> nn.Module:
        """The net: prepared inputs -> logits."""
        net: nn.Module = self.module.net  # type: ignore[assignment]
        return net

    @cached_property
    def prepared(self) -> Batch:
        """The batch as the net receives it."""
        with preserved_state(self.module), torch.no_grad():
            prepare: Any = self.module.prepare
            prepared: Batch = prepare(self.batch)
            return prepared

    def logits(self, batch: Batch | None = None, module: LightningModule | None = None) -> Tensor:
        """Logits (B, C) of a prepared batch in evaluation mode; by default of `prepared` and `module`."""
        module = module or self.module
        with preserved_state(module), torch.no_grad():
            logits: Tensor = module(self.prepared if batch is None else batch)
            return logits.detach()

    def loss(self, logits: Tensor) -> float:
        """Mean cross-entropy of logits (B, C) with the labels of the batch."""
        return float(F.cross_entropy(logits.float(), self.batch.targets))

    @cached_property
    def overfitted(self) -> OverfitCopy:
        """The copy overfitted to the batch by Adam, without augmentation and dropout; the best of several rates."""
        tried: list[OverfitCopy] = []
        for rate in _RATES:
            tried.append(self._overfit(rate))
            if tried[-1].has_overfitted:
                break
        return min(tried, key=lambda trained: trained.after)

    def _overfit(self, rate: float) -> OverfitCopy:
        module = copy.deepcopy(self.module)
        parameters = [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=rate)
        before = after = self.loss(self.train_logits(module).detach())
        steps = 0
        while steps < STEPS and after >= OVERFITTED * before:
            loss = F.cross_entropy(self.train_logits(module).float(), self.batch.targets)
            if not loss.requires_grad:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after, steps = float(loss.detach()), steps + 1
        return OverfitCopy(module, before, after, steps, rate)

    def train_logits(self, module: LightningModule, batch: Batch | None = None) -> Tensor:
        """Logits (B, C) of a prepared batch in training mode without dropout; batch norm uses the batch."""
        with preserved_state(module, training=True):
            for part in module.modules():
                if isinstance(part, nn.modules.dropout._DropoutNd):
                    part.eval()
            logits: Tensor = module(self.prepared if batch is None else batch)
        return logits


class Trace:
    """Outputs of every module in the order of execution, to locate where two forward passes differ."""

    def __init__(self) -> None:
        self._outputs: list[tuple[str, Tensor]] = []

    @contextmanager
    def recording(self, root: nn.Module) -> Iterator["Trace"]:
        """Record the outputs of one forward pass within the block."""
        handles = [m.register_forward_hook(self._hook(name)) for name, m in root.named_modules() if name]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            self._outputs += [
                (name, t.detach().clone()) for t in tree_leaves(output) if isinstance(t, Tensor)
            ]

        return hook

    def first_difference(self, other: "Trace", differ: Callable[[Tensor, Tensor], bool]) -> str:
        """Name of the first module whose outputs differ, by `differ`; "" if none does."""
        for (name, mine), (_, theirs) in zip(self._outputs, other._outputs, strict=False):
            if mine.shape == theirs.shape and differ(mine, theirs):
                return name
        return ""
