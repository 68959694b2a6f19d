"""Losses against their formulas, and at extreme logits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from leyden.losses.cross_entropy import CrossEntropy
from leyden.losses.focal import FocalSigmoid, FocalSoftmax

GAMMAS = [0.0, 0.5, 1.0, 2.0, 5.0]


def cross_entropy(z: list[float], y: int, smoothing: float) -> float:
    total = sum(math.exp(v) for v in z)
    log_p = [v - math.log(total) for v in z]
    return -(1 - smoothing) * log_p[y] - smoothing * sum(log_p) / len(z)


def focal_softmax(z: list[float], y: int, gamma: float) -> float:
    p = math.exp(z[y]) / sum(math.exp(v) for v in z)
    return -((1 - p) ** gamma) * math.log(p)


def focal_sigmoid(z: list[float], y: int, gamma: float) -> float:
    total = 0.0
    for c, v in enumerate(z):
        p = 1 / (1 + math.exp(-v))
        p_t = p if c == y else 1 - p
        total -= (1 - p_t) ** gamma * math.log(p_t)
    return total


def check(loss: nn.Module, formula: object, parameter: float, z: list[list[float]], y: list[int]) -> None:
    loss = loss(torch.tensor(z, dtype=torch.float64), torch.tensor(y))
    expected = torch.tensor([formula(row, label, parameter) for row, label in zip(z, y, strict=True)])
    assert loss.shape == (len(y),)
    torch.testing.assert_close(loss, expected.float(), rtol=1e-5, atol=1e-6)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[list[float]], list[int]]:
    classes = draw(st.integers(2, 6))
    rows = st.lists(st.floats(-6, 6, width=32), min_size=classes, max_size=classes)
    z = draw(st.lists(rows, min_size=1, max_size=4))
    return z, [draw(st.integers(0, classes - 1)) for _ in z]


@settings(max_examples=30, deadline=None)
@given(batches(), st.floats(0, 0.9))
def test_cross_entropy(batch: tuple[list[list[float]], list[int]], smoothing: float) -> None:
    check(CrossEntropy(smoothing), cross_entropy, smoothing, *batch)


@settings(max_examples=30, deadline=None)
@given(batches(), st.sampled_from(GAMMAS))
def test_focal_softmax(batch: tuple[list[list[float]], list[int]], gamma: float) -> None:
    check(FocalSoftmax(gamma), focal_softmax, gamma, *batch)


@settings(max_examples=30, deadline=None)
@given(batches(), st.sampled_from(GAMMAS))
def test_focal_sigmoid(batch: tuple[list[list[float]], list[int]], gamma: float) -> None:
    check(FocalSigmoid(gamma), focal_sigmoid, gamma, *batch)


def test_gamma_zero_is_the_plain_loss() -> None:
    z, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(FocalSoftmax(0.0)(z, y), CrossEntropy()(z, y))
    one_hot = nn.functional.one_hot(y, 4).float()
    plain = nn.functional.binary_cross_entropy_with_logits(z, one_hot, reduction="none").sum(1)
    torch.testing.assert_close(FocalSigmoid(0.0)(z, y), plain)


EVERY = [CrossEntropy(), CrossEntropy(0.1), *map(FocalSoftmax, GAMMAS), *map(FocalSigmoid, GAMMAS)]


@pytest.mark.parametrize("loss", EVERY)
@pytest.mark.parametrize("size", [1.0, 30.0, 100.0, 1000.0])
def test_finite_at_any_confidence(loss: nn.Module, size: float) -> None:
    z = (size * torch.eye(3)[[0, 0, 0]]).requires_grad_()
    loss = loss(z, torch.tensor([0, 1, 2]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert (loss >= 0).all()
    assert z.grad is not None
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("loss", EVERY)
def test_computes_in_float32(loss: nn.Module, dtype: torch.dtype) -> None:
    z, y = torch.randn(4, 3).to(dtype), torch.tensor([0, 2, 1, 1])
    found = loss(z, y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(z.float(), y))


@pytest.mark.parametrize("loss", [FocalSoftmax(1.5), FocalSigmoid(1.5)])
def test_gradient_agrees_with_finite_differences(loss: nn.Module) -> None:
    torch.manual_seed(0)
    z, y, step = torch.randn(1, 4), torch.tensor([2]), 1e-2

    def at(shift: Tensor) -> float:
        return float(loss(z + shift, y))

    slope = z.clone().requires_grad_()
    loss(slope, y).sum().backward()
    numeric = [(at(step * e) - at(-step * e)) / (2 * step) for e in torch.eye(4)]
    assert slope.grad is not None
    torch.testing.assert_close(slope.grad[0], torch.tensor(numeric), rtol=1e-2, atol=1e-3)
