"""DualEncoder: unit length, absence, what is behind a mask, and parameters that all learn."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from leyden.nets.dual_encoder import DualEncoder


class Encoder(nn.Module):
    feature_width = 5

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 5), nn.Linear(5, 4)

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x).tanh()
        return out


def net(**encoders: nn.Module) -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(encoders or {"image": Encoder(), "audio": Encoder()}, num_outputs=4, width=6)


def given(seed: int = 0) -> dict[str, Any]:
    torch.manual_seed(seed)
    return {name: SimpleNamespace(values=torch.randn(7, 3), lengths=None) for name in ("image", "audio")}


def test_embeddings_have_length_1_and_each_depends_on_its_input_alone() -> None:
    made, inputs = net(), given()
    found = made(inputs)
    assert found.shape == (7, 2, 6)
    torch.testing.assert_close(found.norm(dim=2), torch.ones(7, 2))
    inputs["audio"].values += 1
    other = made(inputs)
    assert torch.equal(found[:, 0], other[:, 0])
    assert not torch.allclose(found[:, 1], other[:, 1])


def test_an_absent_input_has_zeros_whatever_lies_behind_the_mask() -> None:
    made, inputs = net(), given()
    there = torch.tensor([True, False] * 3 + [True])
    found = made(inputs, {"audio": there})
    assert (found[~there, 1] == 0).all()
    torch.testing.assert_close(found[there].norm(dim=2), torch.ones(4, 2))
    inputs["audio"].values[~there] = float("nan")
    assert torch.equal(made(inputs, {"audio": there}), found)
    del inputs["audio"]
    assert torch.equal(made(inputs)[:, 0], found[:, 0])
    assert (made(inputs)[:, 1] == 0).all()


def test_every_parameter_has_a_gradient() -> None:
    made = net()
    made(given()).flatten(1).cumsum(1).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


def test_pairs_have_two_inputs() -> None:
    with pytest.raises(ValueError, match=r"pairs have two inputs, the data have 3 \(a, b, c\)"):
        net(a=Encoder(), b=Encoder(), c=Encoder())
