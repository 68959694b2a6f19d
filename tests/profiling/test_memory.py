"""Memory of a training step, against sums by hand."""

import pytest
import torch
from torch import nn

from leyden.profiling.memory import Activations, optimizer_bytes, tensor_bytes

FLOAT = 4


@pytest.mark.parametrize("batch", [1, 5])
def test_activations_are_what_the_backward_pass_reads(batch: int) -> None:
    """Linear keeps its input, ReLU its output, the next Linear that same output: each storage once, no weights."""
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.zeros(batch, 8)
    with Activations(net).watching() as activations:
        net(x)
    assert activations.bytes == FLOAT * batch * (8 + 16)


def test_nothing_is_kept_without_gradients() -> None:
    net = nn.Linear(8, 16)
    with torch.no_grad(), Activations(net).watching() as activations:
        net(torch.zeros(2, 8))
    assert activations.bytes == 0


def test_sizes_of_parameters_and_of_an_optimizers_state() -> None:
    net = nn.Linear(8, 16)
    values = 8 * 16 + 16
    assert tensor_bytes(net.parameters()) == FLOAT * values
    net(torch.zeros(2, 8)).sum().backward()
    for make, numbers in ((torch.optim.Adam, 2), (torch.optim.SGD, 0)):
        optimizer = make(net.parameters(), lr=0.1)
        optimizer.step()
        steps = optimizer_bytes(optimizer) - FLOAT * numbers * values
        assert 0 <= steps <= 16  # Adam counts its steps
