"""Schedules: the learning rate at each step against its formula."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
)

from leyden.optim import lr_schedules


def rates(schedule: object, steps: int = 100, per_epoch: int = 10, lr: float = 0.1) -> list[float]:
    """The learning rate at each of `steps` steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule(optimizer, total_steps=steps, steps_per_epoch=per_epoch)  # type: ignore[operator]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return found


def test_constant_has_no_scheduler_without_a_warmup() -> None:
    assert rates(lr_schedules.Constant()) == [0.1] * 100
    warm = rates(lr_schedules.Constant(warmup=1))
    assert warm[:10] == pytest.approx([0.1 * (k + 1) / 10 for k in range(10)])
    assert set(warm[10:]) == {0.1}


def test_step_follows_its_milestones_in_epochs() -> None:
    found = rates(lr_schedules.Step(milestones=[4, 8], factors=[0.1, 0.01], warmup=0))
    expected = [0.1] * 40 + [0.01] * 40 + [0.001] * 20
    assert found == pytest.approx(expected)


def test_step_needs_a_factor_for_each_milestone() -> None:
    with pytest.raises(ValueError, match="one factor for each"):
        rates(lr_schedules.Step(milestones=[4], factors=[0.1, 0.01]))


def test_cosine_is_half_a_cosine_down_to_its_floor() -> None:
    found = rates(lr_schedules.Cosine(floor=0.2))
    expected = [0.1 * (0.2 + 0.8 * (1 + math.cos(math.pi * k / 100)) / 2) for k in range(100)]
    assert found == pytest.approx(expected)


def torchs(make: Callable[[torch.optim.Optimizer], LRScheduler], steps: int) -> list[float]:
    """The rate at each step under a schedule of torch's own."""
    return rates(lambda optimizer, total_steps, steps_per_epoch: make(optimizer), steps)


@pytest.mark.parametrize("steps", [1, 2, 10, 37, 100])
@pytest.mark.parametrize("rise", [0.1, 0.3, 0.9])
def test_one_cycle_is_torchs_to_the_last_step(steps: int, rise: float) -> None:
    if rise * steps == 1:  # torch itself divides by 0: the rate of the start, then down from the peak
        found = rates(lr_schedules.OneCycle(rise), steps)
        assert found[0] == pytest.approx(0.1 / 25)
        assert found[1] == pytest.approx(max(found))
    else:
        expected = torchs(
            lambda o: OneCycleLR(o, 0.1, total_steps=steps, pct_start=rise, cycle_momentum=False), steps
        )
        found = rates(lr_schedules.OneCycle(rise), steps)
        assert found == pytest.approx(expected, rel=1e-9)
    assert found[-1] == pytest.approx(0.1 / 25 / 1e4)


@pytest.mark.parametrize("steps", [1, 2, 50])
@pytest.mark.parametrize(
    ("own", "of_torch"),
    [
        (lr_schedules.Cosine(floor=0.2), lambda o, n: CosineAnnealingLR(o, n, eta_min=0.02)),
        (
            lr_schedules.Step([4], [0.1], warmup=0),
            lambda o, n: MultiStepLR(o, [40], gamma=0.1),
        ),
        (lr_schedules.Constant(warmup=0), lambda o, n: LambdaLR(o, lambda step: 1.0)),
        (
            lr_schedules.Constant(warmup=1),
            lambda o, n: LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=9),
        ),
    ],
)
def test_every_schedule_is_torchs_to_the_last_step(own: Any, of_torch: Any, steps: int) -> None:
    expected = torchs(lambda optimizer: of_torch(optimizer, steps), steps)
    assert rates(own, steps) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("higher", [True, False])
def test_plateau_lowers_the_rate_in_the_right_direction(higher: bool) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_schedules.Plateau(factor=0.5, patience=1)(optimizer, 10, 1, higher_is_better=higher)
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        scheduler.step(value if higher else -value)  # improving
    assert optimizer.param_groups[0]["lr"] == 1.0
    for _ in range(3):
        scheduler.step(0.0)
    assert optimizer.param_groups[0]["lr"] == 0.5
