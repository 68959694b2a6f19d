"""Losses of regression against their formulas, and what the best constant prediction of each is."""

import pytest
import torch
from torch import nn

from leyden.losses.regression import Huber, MeanAbsoluteError, MeanSquaredError


def values() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, generator=generator), 2 * torch.randn(8, 3, generator=generator)


def test_squared_and_absolute_error() -> None:
    p, t = values()
    torch.testing.assert_close(MeanSquaredError()(p, t), ((p - t) ** 2).mean(1))
    torch.testing.assert_close(MeanAbsoluteError()(p, t), (p - t).abs().mean(1))


@pytest.mark.parametrize("delta", [0.1, 1.0, 100.0])
def test_huber(delta: float) -> None:
    p, t = values()
    e = (p - t).abs()
    expected = torch.where(e <= delta, e**2 / 2, delta * (e - delta / 2)).mean(1)
    torch.testing.assert_close(Huber(delta)(p, t), expected)


@pytest.mark.parametrize(
    ("loss", "best"), [(MeanSquaredError(), 3.0), (MeanAbsoluteError(), 1.0), (Huber(0.001), 1.0)]
)
def test_the_best_constant_is_the_mean_or_the_median(loss: nn.Module, best: float) -> None:
    targets = torch.tensor([0.0, 1.0, 8.0])[:, None]
    grid = torch.linspace(-1, 9, 1001)
    risks = torch.stack([loss(torch.full_like(targets, float(g)), targets).mean() for g in grid])
    assert float(grid[risks.argmin()]) == pytest.approx(best, abs=0.011)
