"""Multi-label losses against their formulas written out, and at the ends of what floats can hold."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from leyden.losses.binary import AsymmetricLoss, BinaryCrossEntropy, WeightedBinaryCrossEntropy


def asymmetric(z: float, t: float, negative: float, positive: float, margin: float) -> float:
    p = 1 / (1 + math.exp(-z))
    shifted = max(p - margin, 0.0)
    yes = -((1 - p) ** positive) * math.log(p)
    no = -(shifted**negative) * math.log(1 - shifted)
    return t * yes + (1 - t) * no


logits = st.lists(st.lists(st.floats(-8, 8), min_size=3, max_size=3), min_size=1, max_size=4)
gammas = st.sampled_from([0.0, 0.5, 1.0, 4.0])


@settings(max_examples=60, deadline=None)
@given(logits, st.integers(0, 10**6), gammas, gammas, st.sampled_from([0.0, 0.05, 0.3]))
def test_asymmetric(z: list[list[float]], seed: int, negative: float, positive: float, margin: float) -> None:
    t = np.random.default_rng(seed).choice([0.0, 1.0, 0.3], size=(len(z), 3))
    expected = [
        np.mean([asymmetric(a, b, negative, positive, margin) for a, b in zip(row, label, strict=True)])
        for row, label in zip(z, t, strict=True)
    ]
    found = AsymmetricLoss(negative, positive, margin)(torch.tensor(z), torch.tensor(t))
    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=1e-4, atol=1e-6)


def test_asymmetric_without_focus_or_margin_is_cross_entropy() -> None:
    z, t = 3 * torch.randn(6, 4), torch.randint(0, 2, (6, 4))
    torch.testing.assert_close(AsymmetricLoss(0.0, 0.0, 0.0)(z, t), BinaryCrossEntropy()(z, t))


def test_an_easy_negative_has_no_gradient_and_a_hard_one_has() -> None:
    z = torch.tensor([[-4.0, 2.0]], requires_grad=True)  # p = .018, below the margin, and .88
    AsymmetricLoss()(z, torch.zeros(1, 2)).sum().backward()
    assert z.grad is not None
    assert z.grad[0, 0] == 0
    assert z.grad[0, 1] > 0


def test_cross_entropy_is_torchs_and_smoothing_moves_the_targets() -> None:
    z, t = torch.randn(6, 4), torch.randint(0, 2, (6, 4)).float()
    plain = F.binary_cross_entropy_with_logits(z, t, reduction="none").mean(1)
    torch.testing.assert_close(BinaryCrossEntropy()(z, t), plain)
    smoothed = torch.where(t == 1, 0.95, 0.05)
    p = torch.sigmoid(z)
    expected = -(smoothed * p.log() + (1 - smoothed) * (1 - p).log()).mean(1)
    torch.testing.assert_close(BinaryCrossEntropy(0.1)(z, t), expected)


@pytest.mark.parametrize(("scheme", "power"), [("inverse", 1.0), ("square_root", 0.5), ("none", 0.0)])
def test_weights_are_the_odds_of_no_against_yes(scheme: str, power: float) -> None:
    loss = WeightedBinaryCrossEntropy((10, 50, 90), 100, scheme)
    torch.testing.assert_close(loss.weights, torch.tensor([9.0, 1.0, 1 / 9]) ** power)
    z, t = torch.randn(6, 3), torch.randint(0, 2, (6, 3)).float()
    p = torch.sigmoid(z)
    expected = -(loss.weights * t * p.log() + (1 - t) * (1 - p).log()).mean(1)
    torch.testing.assert_close(loss(z, t), expected)


def test_inverse_weights_make_positives_weigh_as_much_as_negatives() -> None:
    targets = (
        torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.1, 0.7])
    ).float()
    loss = WeightedBinaryCrossEntropy(tuple(targets.sum(0).int().tolist()), 1000)
    z = torch.zeros(1000, 2, requires_grad=True)
    loss(z, targets).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad.sum(0), torch.zeros(2), atol=1e-2, rtol=0)  # the optimal constant is 0


@pytest.mark.parametrize("scheme", ["inverse", "square_root", "none"])
def test_labels_without_positives_or_negatives_get_finite_weights(scheme: str) -> None:
    weights = WeightedBinaryCrossEntropy((0, 1000, 1), 1000, scheme, max_weight=20.0).weights
    expected = [1.0, 1.0, 1.0] if scheme == "none" else [20.0, 0.05, 20.0]
    torch.testing.assert_close(weights, torch.tensor(expected))


EVERY = [
    *(BinaryCrossEntropy(), BinaryCrossEntropy(0.1), WeightedBinaryCrossEntropy((1, 50, 99), 100)),
    *(AsymmetricLoss(n, p, m) for n in (0.0, 0.5, 4.0) for p in (0.0, 0.5, 1.0) for m in (0.0, 0.05)),
]


@pytest.mark.parametrize("loss", EVERY)
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 100.0, 1000.0])
def test_finite_for_right_and_wrong_at_any_confidence(loss: nn.Module, size: float) -> None:
    z = (size * torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])).requires_grad_()
    losses = loss(z, torch.tensor([[1, 0, 0], [1, 0, 1]]))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert (losses >= 0).all()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_the_margin_is_exact_for_a_sure_and_wrong_negative() -> None:
    found = AsymmetricLoss()(torch.tensor([[100.0]]), torch.zeros(1, 1))
    assert float(found) == pytest.approx(-(0.95**4) * math.log(0.05), rel=1e-6)
