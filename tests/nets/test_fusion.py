"""Nets with several inputs: what is absent has no part in an answer, and every part of the net is trained."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from leyden.nets.fusion import AttentionFusion, ConcatFusion, Fusion, GatedFusion, LateFusion
from leyden.nets.image import CNN
from leyden.nets.text import RNN

COUNTS = (30, 20, 10)
KINDS = ("late", "concat", "gated", "attention")


class Given(NamedTuple):
    """An input of a batch, as nets see it."""

    values: Tensor
    lengths: Tensor | None = None


def encoders() -> dict[str, nn.Module]:
    return {
        "image": CNN(3, 1, widths=(4, 8), dropout=0),
        "text": RNN(3, 20, hidden=6, embedding=5, dropout=0),
    }


def net_of(kind: str, auxiliary: float = 0.0, names: Sequence[str] = ("image", "text")) -> Fusion:
    torch.manual_seed(0)
    parts = {name: encoder for name, encoder in encoders().items() if name in names}
    if kind == "late":
        return LateFusion(parts, 3, COUNTS, sum(COUNTS), auxiliary)
    others: dict[str, Any] = {"concat": ConcatFusion, "gated": GatedFusion, "attention": AttentionFusion}
    made: Fusion = others[kind](parts, 3, width=8, auxiliary=auxiliary)
    return made


def batch(samples: int = 6, seed: int = 1) -> dict[str, Given]:
    torch.manual_seed(seed)
    lengths = torch.randint(1, 8, (samples,))
    ids = torch.randint(1, 20, (samples, 7)) * (torch.arange(7) < lengths[:, None])
    return {"image": Given(torch.randn(samples, 1, 8, 8)), "text": Given(ids, lengths)}


PRESENT = {
    "image": torch.tensor([True, True, False, True, False, True]),
    "text": torch.tensor([True, False, True, True, True, False]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_what_stands_where_an_input_is_absent_changes_no_bit(kind: str, training: bool) -> None:
    net, given, garbage = net_of(kind).train(training), batch(), batch()
    torch.manual_seed(5)
    one = net(given, PRESENT)
    garbage["image"].values[~PRESENT["image"]] = float("nan")
    garbage["text"].values[~PRESENT["text"]] = 19
    assert garbage["text"].lengths is not None
    garbage["text"].lengths[~PRESENT["text"]] = 7
    net = net_of(kind).train(training)
    torch.manual_seed(5)
    other = net(garbage, PRESENT)
    assert torch.equal(one, other)
    assert one.isfinite().all()
    other.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_presence_matters_and_an_input_may_be_missing_from_the_whole_batch(kind: str) -> None:
    net = net_of(kind).eval()
    whole, image = net(batch()), net(batch(), {"text": torch.zeros(6, dtype=torch.bool)})
    assert whole.shape == (6, 3)
    assert not torch.allclose(whole, image)
    assert torch.allclose(net({"image": batch()["image"]}), image, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_independent_of_who_else_lacks_what(kind: str) -> None:
    net, given = net_of(kind).eval(), batch()
    together = net(given, PRESENT)
    for row in range(6):
        one = {
            name: Given(*(None if x is None else x[row : row + 1] for x in part))
            for name, part in given.items()
        }  # type: ignore[arg-type]
        alone = net(one, {name: there[row : row + 1] for name, there in PRESENT.items()})
        assert torch.allclose(alone[0], together[row], atol=1e-5)


def test_late_fusion_is_the_product_of_experts_by_bayes_rule() -> None:
    net, given = net_of("late").eval(), batch()
    prior = torch.tensor([(n + 0.5) / (sum(COUNTS) + 1.5) for n in COUNTS])
    experts = [net.encoders["image"](given["image"].values), net.encoders["text"](*given["text"])]
    posteriors = [z.softmax(1) for z in experts]
    expected = posteriors[0] * posteriors[1] / prior
    assert torch.allclose(net(given).softmax(1), expected / expected.sum(1, keepdim=True), atol=1e-5)
    assert torch.allclose(net({"image": given["image"]}).softmax(1), posteriors[0], atol=1e-6)
    nothing = {name: torch.zeros(6, dtype=torch.bool) for name in given}
    assert torch.allclose(net(given, nothing).softmax(1), prior.expand(6, 3), atol=1e-6)


def test_late_fusion_of_labels_subtracts_log_odds_and_averages_values() -> None:
    given = batch()
    labels = LateFusion(encoders(), 3, (20, 30, 5), 60).eval()
    alone = sum(labels({name: part}) for name, part in given.items())
    odds = torch.tensor([math.log((n + 0.5) / (61 - n - 0.5)) for n in (20, 30, 5)])
    assert torch.allclose(labels(given), alone - odds, atol=1e-5)
    values = LateFusion(encoders(), 3, (), 60).eval()
    parts = [values({name: part}) for name, part in given.items()]
    assert torch.allclose(values(given), (parts[0] + parts[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_reaches_every_parameter(kind: str) -> None:
    net = net_of(kind, auxiliary=0.3).train()
    loss = net(batch(), PRESENT).square().sum()
    loss = loss + sum(z.square().sum() for z in net.single_outputs.values())
    loss.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_every_trained_parameter_has_a_gradient_whatever_a_batch_lacks() -> None:
    for kind in KINDS:
        net = net_of(kind).train()
        net(batch(), {"text": torch.zeros(6, dtype=torch.bool)}).sum().backward()
        assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []


def test_single_outputs_are_kept_in_training_alone() -> None:
    net = net_of("concat", auxiliary=0.3).eval()
    net(batch())
    assert net.single_outputs == {}
    net.train()(batch())
    assert {name: tuple(z.shape) for name, z in net.single_outputs.items()} == {
        "image": (6, 3),
        "text": (6, 3),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_input_has_no_loss_of_its_own_besides(kind: str) -> None:
    net = net_of(kind, auxiliary=0.3, names=("image",)).train()
    given = {"image": batch()["image"]}
    net(given).sum().backward()
    assert net.auxiliary == 0
    assert net.single_outputs == {}
    assert [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None] == []


def test_gates_and_attention_give_absent_inputs_no_weight() -> None:
    for kind in ("gated", "attention"):
        net, given = net_of(kind).eval(), batch()
        only = {"text": torch.zeros(6, dtype=torch.bool)}
        before = net(given, only)
        with torch.no_grad():
            for parameter in net.encoders["text"].parameters():
                parameter.add_(1)
        assert torch.equal(net(given, only), before)


def test_an_encoder_without_features_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder of image, Linear, has no features, feature_width, head"):
        LateFusion({"image": nn.Linear(2, 2)}, 3, COUNTS, 60)
    with pytest.raises(ValueError, match=r"width=6 cannot be divided among heads=4"):
        AttentionFusion(encoders(), 3, width=6)
