"""InfoNCE against its definition, in loops over a batch; the learned scale."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from leyden.losses.contrastive import MOST, InfoNCE
from leyden.utils.errors import UserError

Positives = Literal["pair", "class"]


def embeddings(count: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(count, 2, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=2)


def by_definition(z: Tensor, targets: Tensor, positives: Positives, scale: float) -> list[float]:
    found = []
    for i in range(len(z)):
        right = [j for j in range(len(z)) if j == i or (positives == "class" and targets[j] == targets[i])]
        both = []
        for way in (0, 1):
            cosines = [float(z[i, way] @ z[j, 1 - way]) for j in range(len(z))]
            total = math.log(sum(math.exp(scale * c) for c in cosines))
            both.append(total - math.log(sum(math.exp(scale * cosines[j]) for j in right)))
        found.append(sum(both) / 2)
    return found


@pytest.mark.parametrize("positives", ["pair", "class"])
def test_is_the_cross_entropy_of_both_directions(positives: Positives) -> None:
    z, targets = embeddings(9), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 3])
    losses = InfoNCE(positives, scale=7.0)(z, targets)
    assert losses.shape == (9,)
    assert losses.tolist() == pytest.approx(by_definition(z, targets, positives, 7.0), rel=1e-5)


def test_classes_decide_only_where_they_are_positives() -> None:
    z, targets, none = embeddings(8), torch.tensor([0, 1] * 4), torch.arange(8)
    assert torch.equal(InfoNCE("pair")(z, targets), InfoNCE("pair")(z, none))
    assert not torch.allclose(InfoNCE("class")(z, targets), InfoNCE("class")(z, none))
    torch.testing.assert_close(InfoNCE("class")(z, none), InfoNCE("pair")(z, none))


def test_of_any_one_partner_of_the_class_is_enough() -> None:
    """Row 0 finds its own partner, and not row 1's, which is of its class, too; row 1 finds none of the two."""
    axes = torch.eye(6)
    z = torch.stack([axes[[0, 1, 2, 3]], axes[[0, 4, 2, 3]]], dim=1)
    losses = InfoNCE("class", scale=20.0)(z, torch.tensor([0, 0, 1, 2])).tolist()
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses[1] == pytest.approx(math.log(2), abs=1e-6)


def test_without_classes_there_are_no_partners_of_one() -> None:
    with pytest.raises(UserError, match=r"loss\.positives=class: the pairs have no classes"):
        InfoNCE("class", num_outputs=1)


def test_the_scale_is_learned_and_stays_at_most_100() -> None:
    loss, z = InfoNCE("pair", scale=MOST), embeddings(8)
    z[:, 1] = z[:, 0]  # each pair agrees: a larger scale is always better
    optimizer = torch.optim.SGD(loss.parameters(), lr=100.0)
    loss(z, torch.arange(8)).mean().backward()
    assert loss.log_scale.grad is not None
    assert loss.log_scale.grad < 0
    optimizer.step()
    loss(z, torch.arange(8))
    assert float(loss.log_scale.detach().exp()) <= MOST * (1 + 1e-6)
    optimizer.zero_grad()
    loss(embeddings(8, seed=1), torch.arange(8)).mean().backward()
    assert loss.log_scale.grad is not None
    assert loss.log_scale.grad > 0  # at the bound it can still fall


def test_is_computed_in_float32() -> None:
    z, targets = embeddings(8).to(torch.bfloat16), torch.arange(8) % 3
    found = InfoNCE()(z, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, InfoNCE()(z.float(), targets))
