"""The norm of all gradients."""

import pytest
import torch
from torch import nn

from leyden.optim.gradients import gradient_norm


def test_the_norm_is_over_all_gradients_and_on_their_device() -> None:
    one, other, none = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    one.grad, other.grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert float(gradient_norm(torch.optim.SGD([one, other, none]))) == pytest.approx(5)
    elsewhere = nn.Parameter(torch.zeros(2, device="meta"))
    assert gradient_norm(torch.optim.SGD([elsewhere])).device.type == "meta"
