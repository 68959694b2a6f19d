"""ContrastiveLearner: rows that are no pairs, scores in the batch, nets that give no embeddings."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from leyden.data.batch import Batch, Input
from leyden.losses.contrastive import InfoNCE
from leyden.modules.contrastive import ContrastiveLearner
from leyden.utils.errors import UserError


def module() -> ContrastiveLearner:
    nothing: Any = partial(dict)
    return ContrastiveLearner(
        nn.Identity(), InfoNCE(), nn.Identity(), [], nothing, nothing, nothing, ("a", "b"), 0, "val/loss"
    )


def batch(targets: list[int], present: dict[str, Tensor] | None = None) -> Batch:
    rows = torch.arange(len(targets))
    inputs = {name: Input(torch.zeros(len(targets), 1), None) for name in ("image", "audio")}
    return Batch(inputs, torch.tensor(targets), rows, rows, present=present or {})


def embeddings(count: int) -> Tensor:
    drawn = torch.randn(count, 2, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(drawn, dim=2)


def test_a_row_without_a_pair_has_no_loss_and_is_no_partner() -> None:
    made, z, targets = module().requires_grad_(False), embeddings(6), [0, 1, 0, 1, 0, 1]
    there = torch.tensor([True, True, False, True, True, True])
    whole = batch(targets, {"audio": there})
    losses = made.losses(z, whole)
    kept = made.losses(z[there], batch([t for t, has in zip(targets, there, strict=True) if has]))
    assert float(losses[2]) == 0
    assert torch.equal(losses[there], kept)
    other = z.clone()
    other[2] = float("nan")  # garbage
    assert torch.equal(made.losses(other, whole), losses)
    assert (made.losses(z, batch(targets, {"audio": ~there & ~there})) == 0).all()


def test_the_score_is_the_share_of_directions_that_find_the_class_in_the_batch() -> None:
    made, z, targets = module(), embeddings(6), torch.tensor([0, 1, 2, 0, 1, 2])
    found = made.scored_outputs(z, batch(targets.tolist()))
    for i in range(6):
        cosines = z[:, 0] @ z[:, 1].T
        hits = [targets[cosines[i].argmax()] == targets[i], targets[cosines[:, i].argmax()] == targets[i]]
        assert float(found[i]) == sum(map(float, hits)) / 2
    assert torch.equal(made.score(found, targets), found)


def test_outputs_that_are_not_finite_pass_for_nothing_else() -> None:
    z = embeddings(3)
    z[1, 1, 0] = float("inf")
    found = module().evaluated_outputs(z, batch([0, 1, 0]))
    assert found.isnan().flatten(1).all(1).tolist() == [False, True, False]
    assert torch.equal(found[0], z[0])


def test_the_summary_tells_embeddings_that_are_all_the_same() -> None:
    z = embeddings(400)
    assert module().prediction_summary(z)[0] < 0.3
    z[:, 1] = z[0, 1]
    assert module().prediction_summary(z)[0] == pytest.approx(1, abs=1e-5)


def test_a_net_without_embeddings_is_refused_with_the_model_to_choose() -> None:
    with pytest.raises(UserError, match=r"embeddings \(B, 2, D\): choose model=dual_encoder"):
        module().losses(torch.zeros(3, 10), batch([0, 1, 0]))
