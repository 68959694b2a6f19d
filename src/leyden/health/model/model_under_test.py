"""The model under test: a module at its initial weights, a few training samples, and a copy overfitted to them."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from leyden.data.batch import Batch
from leyden.data.targets import Kind
from leyden.health.settings import DiagnosticsSettings
from leyden.modules.standalone import preserved_state

SAMPLES = 16
STEPS = 200
OVERFITTED = 0.1  # of the initial loss above the least one, below which a batch counts as overfitted
_FREE_STEPS, _FREE_RATE = 300, 0.3  # of Adam, for the least loss that any outputs have
_RATES = (1e-3, 1e-2, 1e-4)  # learning rates of Adam, tried in turn


@dataclass(frozen=True)
class OverfitCopy:
    """A copy trained on a single batch.

    Args:
        module: the copy.
        before: its loss at the start.
        after: and at the end.
        goal: loss below which it has overfitted.
        steps: how many were taken.
        rate: learning rate.
    """

    module: LightningModule
    before: float
    after: float
    goal: float
    steps: int
    rate: float

    @property
    def has_overfitted(self) -> bool:
        """Whether the loss fell below the goal."""
        return self.after < self.goal


@dataclass(frozen=True)
class ModelUnderTest:
    """A model and the batch that it is checked with.

    Args:
        module: with `prepare(batch)`, `forward(batch)` and `losses(outputs, batch)`, as a `SupervisedModule`; never
            changed here.
        batch: raw inputs and targets of a few training samples, on the module's device.
        kind: of the targets.
        num_outputs: how many numbers K the net must give for a sample.
        settings: thresholds.
        rebuild: builds a new module with other initial weights.
    """

    module: LightningModule
    batch: Batch
    kind: Kind
    num_outputs: int
    settings: DiagnosticsSettings
    rebuild: Callable[[], LightningModule]

    @property
    def net(self) -> nn.Module:
        """The net: prepared inputs -> outputs."""
        net: nn.Module = self.module.net  # type: ignore[assignment]
        return net

    @cached_property
    def prepared(self) -> Batch:
        """The batch as the net receives it."""
        with preserved_state(self.module), torch.no_grad():
            prepare: Any = self.module.prepare
            prepared: Batch = prepare(self.batch)
            return prepared

    def outputs(self, batch: Batch | None = None, module: LightningModule | None = None) -> Tensor:
        """Outputs of a prepared batch in evaluation mode, as the task has them; by default of `prepared`, `module`."""
        module = module or self.module
        with preserved_state(module), torch.no_grad():
            outputs: Tensor = module(self.prepared if batch is None else batch)
            return outputs.detach()

    def loss(self, outputs: Tensor, module: LightningModule | None = None) -> Tensor:
        """The module's own loss () of outputs (B, ...), with the targets of the batch; by default of `module`."""
        losses: Any = (module or self.module).losses
        mean: Tensor = losses(outputs.float(), self.prepared).float().mean()
        return mean

    @property
    def last_frame(self) -> int:
        """How many frames the longest sample of the batch has, as the net says; of a task that answers frames."""
        frames: Any = self.module.frames
        return int(frames(self.prepared).max())

    @property
    def neutral_loss(self) -> float:
        """The loss of outputs that are all 0: of uniform probabilities, or of the mean of standardised targets."""
        return float(self.loss(torch.zeros(self._shape, device=self.batch.targets.device)).detach())

    @cached_property
    def least_loss(self) -> float:
        """The least loss that any outputs have: above 0 with label smoothing."""
        start = torch.zeros(self._shape, device=self.batch.targets.device)
        if self.kind == "pairs":  # two embeddings of 0 have no gradient
            start = self.outputs().float()
        free = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([free], lr=_FREE_RATE)
        for step in range(_FREE_STEPS):
            optimizer.param_groups[0]["lr"] = _FREE_RATE * (1 - step / _FREE_STEPS)
            (free.grad,) = torch.autograd.grad(self.loss(free), free)
            optimizer.step()
        return min(self.neutral_loss, float(self.loss(free).detach()))

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        if self.kind not in ("sequences", "pairs"):
            return len(self.batch.targets), self.num_outputs
        return tuple(self.outputs().shape)

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
        before = after = float(self.loss(self.train_outputs(module), module).detach())
        goal = self.least_loss + OVERFITTED * (before - self.least_loss)
        steps = 0
        while steps < STEPS and after >= goal:
            loss = self.loss(self.train_outputs(module), module)
            if not loss.requires_grad:
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            after, steps = float(loss.detach()), steps + 1
        return OverfitCopy(module, before, after, goal, steps, rate)

    def train_outputs(self, module: LightningModule, batch: Batch | None = None) -> Tensor:
        """Outputs (B, K) of a prepared batch in training mode without dropout; batch norm uses the batch."""
        with preserved_state(module, training=True):
            for part in module.modules():
                if isinstance(part, nn.modules.dropout._DropoutNd):
                    part.eval()
            outputs: Tensor = module(self.prepared if batch is None else batch)
        return outputs


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
