"""Losses for imbalanced classes: each against its formula in NumPy, and the class prior it imposes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from leyden.losses.cdt import CDT
from leyden.losses.class_weighted import Weighted
from leyden.losses.cross_entropy import CrossEntropy
from leyden.losses.deferred import Deferred
from leyden.losses.focal import FocalSigmoid
from leyden.losses.label_aware_smoothing import LabelAwareSmoothing
from leyden.losses.ldam import LDAM
from leyden.losses.logit_adjusted import LogitAdjusted

COUNTS = (500, 60, 20, 3)
N = np.array(COUNTS, dtype=float)
RNG = np.random.default_rng(4)
Z = 3 * RNG.normal(size=(50, 4))
Y = RNG.integers(0, 4, 50)
ROWS = np.arange(50)


def of(loss: nn.Module, z: np.ndarray = Z) -> np.ndarray:
    return loss(torch.tensor(z, dtype=torch.float32), torch.tensor(Y)).numpy()


def cross_entropy(z: np.ndarray) -> np.ndarray:
    return np.log(np.exp(z).sum(1)) - z[ROWS, Y]


def same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("scheme", "beta", "raw"),
    [
        ("inverse", 0.0, 1 / N),
        ("square_root", 0.0, N**-0.5),
        ("effective_number", 0.999, (1 - 0.999) / (1 - 0.999**N)),
        ("effective_number", 0.0, np.ones(4)),
    ],
)
def test_weights(scheme: str, beta: float, raw: np.ndarray) -> None:
    weights = raw * N.sum() / (raw * N).sum()
    loss = Weighted(CrossEntropy(), COUNTS, scheme, beta)  # type: ignore[arg-type]
    same(of(loss), weights[Y] * cross_entropy(Z))
    assert (weights * N).sum() / N.sum() == pytest.approx(1)
    torch.testing.assert_close(
        torch.tensor(of(loss)).sum(),
        F.cross_entropy(torch.tensor(Z), torch.tensor(Y), torch.tensor(weights), reduction="sum").float(),
    )
    log_weights, offsets = loss.correction()
    np.testing.assert_allclose(log_weights, np.log(weights), atol=1e-6)
    assert not offsets.any()


def test_class_balanced_focal() -> None:
    """Cui et al. 2019: sum over classes of sigmoid focal terms, times the effective-number weight of the label."""
    sign = np.where(np.arange(4) == Y[:, None], 1, -1)
    p = 1 / (1 + np.exp(-sign * Z))
    focal = (-((1 - p) ** 0.5) * np.log(p)).sum(1)
    raw = (1 - 0.999) / (1 - 0.999**N)
    weights = raw * N.sum() / (raw * N).sum()
    same(of(Weighted(FocalSigmoid(0.5), COUNTS, "effective_number", 0.999)), weights[Y] * focal)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_logit_adjustment(tau: float) -> None:
    offsets = tau * np.log(N / N.sum())
    same(of(LogitAdjusted(COUNTS, tau)), cross_entropy(Z + offsets))
    np.testing.assert_allclose(LogitAdjusted(COUNTS, tau).correction()[1], offsets, atol=1e-6)


def test_balanced_softmax_is_logit_adjustment_at_one() -> None:
    """Ren et al. 2020, equation 4: n_y exp(z_y) / sum n_j exp(z_j)."""
    p = N * np.exp(Z)
    same(of(LogitAdjusted(COUNTS)), -np.log(p[ROWS, Y] / p.sum(1)))


def test_ldam() -> None:
    """The authors' code: margins K / n^(1/4) with maximum .5, s = 30, on cosines."""
    cosines = np.tanh(Z)
    margins = 0.5 * N**-0.25 / (N**-0.25).max()
    lowered = cosines.copy()
    lowered[ROWS, Y] -= margins[Y]
    same(of(LDAM(COUNTS), 30 * cosines), cross_entropy(30 * lowered))
    assert not hasattr(LDAM(COUNTS), "correction")


def test_cdt() -> None:
    same(of(CDT(COUNTS, 0.2)), cross_entropy(Z / (N.max() / N) ** 0.2))


def test_label_aware_smoothing() -> None:
    """MiSLAS, the concave form, by its code: smoothing by the label's class, (1 - e) CE + e mean(-log p)."""
    epsilon = 0.1 + (0.4 - 0.1) * np.sin(np.pi * (N - N.min()) / (2 * (N.max() - N.min())))
    log_p = Z - np.log(np.exp(Z).sum(1, keepdims=True))
    expected = -(1 - epsilon[Y]) * log_p[ROWS, Y] - epsilon[Y] * log_p.mean(1)
    same(of(LabelAwareSmoothing(COUNTS, 0.4, 0.1)), expected)


def test_deferred_changes_at_epoch_160_of_200() -> None:
    first, then = CrossEntropy(), LogitAdjusted(COUNTS)
    loss = Deferred(first, then, epochs=200)
    assert [loss.at(e) is then for e in (0, 159, 160, 199)] == [False, False, True, True]


EMPTY = (10, 0, 30, 1)


@pytest.mark.parametrize(
    "loss",
    [
        *(Weighted(CrossEntropy(), EMPTY, s) for s in ("inverse", "square_root", "effective_number")),  # type: ignore[arg-type]
        *(LogitAdjusted(EMPTY), LDAM(EMPTY), CDT(EMPTY), LabelAwareSmoothing(EMPTY)),
        LabelAwareSmoothing((5, 5, 5, 5)),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_class_without_samples_and_half_precision(loss: nn.Module) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        z = torch.tensor(Z, dtype=dtype).mul(50).requires_grad_()
        losses = loss(z, torch.tensor(Y))
        assert losses.dtype == torch.float32
        assert losses.isfinite().all()
        losses.sum().backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()
