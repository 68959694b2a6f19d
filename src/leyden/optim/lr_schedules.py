"""Learning-rate schedules; all except `Plateau` are pure functions of the optimizer step.

Each is called as `schedule(optimizer, total_steps, steps_per_epoch)` with the steps of the run, so that a schedule ends
with the run. Times in the configuration are in epochs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

_A_LITTLE = 1e-9  # of a step


class Factor:
    """Factor on the base learning rate at a step, with linear warm-up; its attributes are stored in checkpoints."""

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup

    def __call__(self, step: int) -> float:
        """The factor at `step`: linear warm-up from 1/warmup to 1, then `after`."""
        return (step + 1) / self.warmup if step < self.warmup else self.after(step)

    def after(self, step: int) -> float:
        """The factor at a step after the warm-up."""
        return 1.0


class _Steps(Factor):
    def __init__(self, warmup: int, milestones: list[int], factors: list[float]) -> None:
        super().__init__(warmup)
        self.milestones, self.factors = milestones, factors

    def after(self, step: int) -> float:
        return ([1.0, *self.factors])[sum(step >= m for m in self.milestones)]


class _Cosine(Factor):
    def __init__(self, warmup: int, total: int, floor: float) -> None:
        super().__init__(warmup)
        self.total, self.floor = total, floor

    def after(self, step: int) -> float:
        done = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Constant:
    """The optimizer's rate throughout, after `warmup` epochs of linear warm-up."""

    warmup: Annotated[float, Ge(0)] = 0.0

    def __call__(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler | None:
        """A LambdaLR stepped with every optimizer step; None without a warm-up."""
        steps = round(self.warmup * steps_per_epoch)
        return LambdaLR(optimizer, Factor(steps)) if steps else None


@dataclass(frozen=True)
class Step:
    """Warm-up, then the rate times factors[i] starting with epoch milestones[i].

    The defaults are the 200-epoch CIFAR recipe of Cao et al. 2019 (arXiv 1906.07413), in their code's factors.
    """

    milestones: Sequence[Annotated[float, Gt(0)]] = (160, 180)
    factors: Sequence[Annotated[float, Gt(0)]] = (0.01, 0.0001)
    warmup: Annotated[float, Ge(0)] = 5.0

    def __call__(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
        """A LambdaLR stepped with every optimizer step.

        Raises:
            ValueError: the milestones are not in order, or not as many as factors.
        """
        if len(self.milestones) != len(self.factors) or list(self.milestones) != sorted(self.milestones):
            raise ValueError(
                f"expected milestones in increasing order and one factor for each, got {len(self.milestones)} "
                f"milestones and {len(self.factors)} factors"
            )
        steps = [round(m * steps_per_epoch) for m in self.milestones]
        return LambdaLR(optimizer, _Steps(round(self.warmup * steps_per_epoch), steps, list(self.factors)))


@dataclass(frozen=True)
class Cosine:
    """Warm-up, then cosine annealing to `floor` times the rate (Loshchilov and Hutter 2017, without restarts)."""

    warmup: Annotated[float, Ge(0)] = 0.0
    floor: Annotated[float, Interval(ge=0, le=1)] = 0.0

    def __call__(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
        """A LambdaLR stepped with every optimizer step."""
        return LambdaLR(optimizer, _Cosine(round(self.warmup * steps_per_epoch), total_steps, self.floor))


@dataclass(frozen=True)
class OneCycle:
    """One-cycle (Smith and Topin 2018): up to the optimizer's rate in the share `rise` of the run, then far down.

    The last step has the least rate: a 25th of the optimizer's at the start, and 1e-4 of that at the end.
    """

    rise: Annotated[float, Interval(gt=0, lt=1)] = 0.3

    def __call__(self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
        """torch's OneCycleLR, stepped with every optimizer step; momentum is not cycled."""
        rates = [group["lr"] for group in optimizer.param_groups]
        # torch divides by 0 where the rise is the first step alone
        rise = self.rise * (1 + _A_LITTLE) if abs(self.rise * total_steps - 1) < _A_LITTLE else self.rise
        return OneCycleLR(optimizer, rates, total_steps, pct_start=rise, cycle_momentum=False)


@dataclass(frozen=True)
class Plateau:
    """Multiply the rate by `factor` when the monitored metric has not improved for `patience` epochs."""

    factor: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Ge(0)] = 3

    def __call__(
        self, optimizer: Optimizer, total_steps: int, steps_per_epoch: int, higher_is_better: bool
    ) -> ReduceLROnPlateau:
        """torch's ReduceLROnPlateau, stepped after each validation."""
        return ReduceLROnPlateau(optimizer, "max" if higher_is_better else "min", self.factor, self.patience)


# --- a schedule that is planned anew, for a run that goes on for longer ---

_PLAN = ("total_steps", "_schedule_phases")  # of OneCycleLR


def without_plan(state: Mapping[str, Any]) -> dict[str, Any]:
    """A stored state of a schedule without what depends on the length of the run; others stay as they are."""
    kept = {name: value for name, value in state.items() if name not in _PLAN}
    return kept | ({"lr_lambdas": [None] * len(kept["lr_lambdas"])} if "lr_lambdas" in kept else {})


def repeat_step(schedule: LRScheduler | ReduceLROnPlateau) -> None:
    """Set the rates that a schedule has at its present step: of those here, whose rates are a function of the step."""
    if isinstance(schedule, LambdaLR | OneCycleLR):
        schedule.last_epoch -= 1
        schedule._step_count -= 1
        schedule.step()
