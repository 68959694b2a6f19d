"""Layer statistics against nets with known properties: update ratios, dead units, saturated gates."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from leyden.health.layer_stats import ActivationStats, UpdateRatios
from leyden.health.settings import DiagnosticsSettings
from leyden.health.training_monitor import TrainingMonitor


def test_ratios_of_update_and_weight() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    updates = UpdateRatios(net)
    net(torch.ones(2, 3)).sum().backward()
    before = {name: p.detach().clone() for name, p in net.named_parameters() if p.ndim > 1}
    gradients = {name: float(p.grad.norm()) for name, p in net.named_parameters() if p.ndim > 1}  # type: ignore[union-attr]
    assert not updates.waiting
    updates.before()
    assert updates.waiting
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    stats = updates.after()
    assert not updates.waiting
    for name, old in before.items():
        new = dict(net.named_parameters())[name].detach()
        assert stats["update"][name] == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-5)
        assert stats["gradient"][name] == pytest.approx(gradients[name], rel=1e-5)


@pytest.mark.parametrize("last", [5, 6, 9])
def test_a_monitor_restored_between_two_steps_gives_the_same_statistics(last: int) -> None:
    """Step 5 is probed: its update ratios are computed before the state is stored, and are not lost."""
    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    uninterrupted, resumed = (
        TrainingMonitor(DiagnosticsSettings(), net, None),
        TrainingMonitor(DiagnosticsSettings(), net, None),
    )
    for number in range(12):
        optimizer.zero_grad()
        net(torch.ones(2, 3)).square().sum().backward()
        for monitor in (uninterrupted, resumed):
            monitor.before_step(number, 0.1)
            monitor.record(number, 1.0, 1.0)
        optimizer.step()
        if number == last:
            stored, resumed = resumed.state(), TrainingMonitor(DiagnosticsSettings(), net, None)
            resumed.load(stored)
    one, other = (monitor.end_epoch(12, {}, 0.0) for monitor in (uninterrupted, resumed))
    assert one.update == other.update != {}
    assert one.gradient == other.gradient


def test_layers_without_gradient_and_nets_without_layers() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    updates = UpdateRatios(net)
    net[0](torch.ones(2, 3)).sum().backward()
    updates.before()
    stats = updates.after()
    assert stats["gradient"]["1.weight"] == stats["update"]["1.weight"] == 0
    empty = UpdateRatios(nn.ReLU())
    empty.before()
    assert empty.after() == {"update": {}, "gradient": {}}


class Functional(nn.Module):
    """ReLUs as functions, one after another in one module."""

    def __init__(self, dead: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 8)
        nn.init.constant_(self.linear.weight, 0.1)
        nn.init.constant_(self.linear.bias, 1.0)
        with torch.no_grad():
            self.linear.bias[:dead] = -10

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(F.relu(self.linear(x)) + 1)


@pytest.mark.parametrize("dead", [0, 2, 8])
def test_dead_units(dead: int) -> None:
    net = nn.Sequential(Functional(dead))
    with ActivationStats(net).watching() as activations:
        net(torch.rand(5, 3))
    assert activations.dead() == {"0": dead / 8, "0 (2)": 0.0}


def test_channels_of_a_convolution_are_axis_1() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with torch.no_grad():
        net[0].bias[:] = torch.tensor([-9.0, 9.0, 9.0, 9.0])
    with ActivationStats(net).watching() as activations:
        net(torch.rand(2, 1, 6, 6))
    assert activations.dead() == {"1": 0.25}


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
@pytest.mark.parametrize("bias", [0.0, 20.0])
def test_saturated_gates(kind: type[nn.LSTM] | type[nn.GRU], gates: int, bias: float) -> None:
    net = nn.Sequential(kind(4, 6, batch_first=True))
    with torch.no_grad():
        net[0].bias_ih_l0[:] = bias
    with ActivationStats(net).watching() as activations:
        net(torch.randn(8, 5, 4))
    (share,) = activations.saturated().values()
    assert share == (1.0 if bias else 0.0)


def test_saturated_tanh_units_of_a_vanilla_rnn() -> None:
    net = nn.Sequential(nn.RNN(4, 6, batch_first=True))
    with torch.no_grad():
        net[0].bias_ih_l0[:3] = 50
    with ActivationStats(net).watching() as activations:
        net(torch.randn(8, 5, 4))
    assert activations.saturated() == {"0": 0.5}


def test_hooks_are_removed() -> None:
    """Hooks and modes are removed after the block, also after an error."""
    net = nn.Sequential(Functional(0))
    with pytest.raises(ZeroDivisionError), ActivationStats(net).watching():
        _ = 1 // 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
