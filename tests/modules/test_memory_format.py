"""Weights and what optimizers keep of them change their layout together, and no value changes."""

import pytest
import torch
from torch import nn

from leyden.modules.compute_plan import Plan, has_convolutions, set_memory_format


def made() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    return net, torch.optim.Adam(net.parameters(), fused=True)


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    net(torch.linspace(-1, 1, 2 * 3 * 64).view(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()


def is_channels_last(x: torch.Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def test_layouts_change_together_and_values_stay() -> None:
    net, optimizer = made()
    step(net, optimizer)
    weight, moment = net[0].weight, optimizer.state[net[0].weight]["exp_avg"]
    before = [x.clone() for x in (weight, moment, weight.grad)]
    for channels_last in (True, False):
        set_memory_format(net, [optimizer], channels_last)
        for now, then in zip((weight, moment, weight.grad), before, strict=True):
            assert is_channels_last(now) is channels_last
            assert torch.equal(now, then)
    assert net[0].weight is weight
    assert net[3].weight.is_contiguous()


def test_a_net_gets_its_own_layout_back() -> None:
    """A plan that asks for none changes nothing, and undoes what another has set."""
    net, optimizer = made()
    net.to(memory_format=torch.channels_last)
    Plan(torch.get_num_threads()).set_on(net, [optimizer])
    assert is_channels_last(net[0].weight)
    for other in (False, None):
        set_memory_format(net, [optimizer], other)
        assert is_channels_last(net[0].weight) is (other is None)
    assert Plan(1, channels_last=False).memory_format == "contiguous"
    assert Plan(1).memory_format == "own"


def test_a_fused_optimizer_goes_on_as_it_would_have() -> None:
    """It reads weight and state as arrays of one layout: of two, the values would be those of other weights."""
    (net, optimizer), (other, its) = made(), made()
    for _ in range(3):
        step(net, optimizer)
        step(other, its)
        set_memory_format(other, [its], channels_last=True)
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_what_a_plan_says_and_sets() -> None:
    net, optimizer = made()
    assert Plan(2, channels_last=True, bf16=True).words == "2 threads, channels_last, bf16"
    threads = torch.get_num_threads()
    try:
        Plan(1, channels_last=True).set_on(net, [optimizer])
        assert torch.get_num_threads() == 1
        assert is_channels_last(net[0].weight)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("net", "has"), [(nn.Conv2d(1, 1, 1), True), (nn.Linear(1, 1), False), (nn.Conv1d(1, 1, 1), False)]
)
def test_convolutions_of_images_are_found(net: nn.Module, has: bool) -> None:
    assert has_convolutions(nn.Sequential(net)) is has
