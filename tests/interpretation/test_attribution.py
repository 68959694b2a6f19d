"""Attributions against what is known: of linear nets, of sums, of nets that cannot be differentiated."""

import numpy as np
import torch
from torch import nn

from leyden.interpretation.attribution import explain
from leyden.interpretation.view import View

SHAPE = (2, 6, 5)


def view_of(net: nn.Module, samples: int = 3, shape: tuple[int, ...] = SHAPE) -> View:
    """Pictures of noise as a view of the first output of a net."""
    values = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(0))
    baseline = torch.full_like(values, 0.25)
    return View(
        *(values, baseline, "grey", baseline, "grey", torch.ones(samples, *shape[1:], dtype=torch.bool)),
        score=lambda x, at: net(x)[:, 0],
        scalar="logit",
        to_units=lambda x: x.sum(1),
        from_units=lambda x: x[:, None],
        spans=[5.0] * samples,
        net=net,
    )


def linear() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(SHAPE)), 4))


def test_integrated_gradients_of_a_linear_net_are_its_weights_times_the_difference() -> None:
    net = linear()
    view = view_of(net)
    weights = net[1].weight[0].reshape(SHAPE)  # type: ignore[union-attr,index,operator]
    expected = ((view.values - view.baseline) * weights).sum(1).detach().numpy()
    for found, wanted in zip(explain(view), expected, strict=True):
        assert np.abs(found.values - wanted).max() < 1e-5
        assert found.completeness is not None
        assert found.completeness < 1e-4
        assert (found.is_complete, found.baseline, found.seed) == (True, "grey", None)
