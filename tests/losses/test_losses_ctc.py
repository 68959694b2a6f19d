"""CTC: against the sum over all paths, and the traps of torch's kernel."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from leyden.losses.ctc import CTC


def brute_force(logits: Tensor, target: list[int]) -> float:
    """-log of the probability of all paths (C ** T) that spell the target."""
    p = logits.double().softmax(1)
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        joined = [unit for unit, _ in itertools.groupby(path)]
        if [unit for unit in joined if unit] == target:
            total += float(torch.stack([p[t, unit] for t, unit in enumerate(path)]).prod())
    return -float(np.log(total))


@pytest.mark.parametrize("target", [[], [1], [1, 2], [1, 1], [2, 1, 2]])
def test_the_loss_is_the_sum_over_all_paths(target: list[int]) -> None:
    logits = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(len(target)))
    padded = torch.tensor([target + [-1] * (4 - len(target))])
    assert float(CTC()(logits, padded)[0]) == pytest.approx(brute_force(logits[0], target), rel=1e-5)


def test_only_a_samples_own_frames_count() -> None:
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    targets, lengths = torch.tensor([[1, 2], [3, -1]]), torch.tensor([6, 3])
    found = CTC()(logits, targets, lengths)
    assert float(found[1]) == pytest.approx(brute_force(logits[1, :3], [3]), rel=1e-5)
    other = logits.clone()
    other[1, 3:] = 100 * torch.randn(3, 4)
    assert torch.equal(CTC()(other, targets, lengths), found)


def test_a_row_counts_by_its_sum_not_by_its_mean() -> None:
    """torch's reduction "mean" divides by the length of the target first."""
    logits = torch.zeros(2, 8, 3)
    found = CTC()(logits, torch.tensor([[1, 2, 1, 2], [1, -1, -1, -1]]))
    for row, target in enumerate(([1, 2, 1, 2], [1])):
        assert float(found[row]) == pytest.approx(brute_force(logits[row], target), rel=1e-5)


def test_an_impossible_row_is_infinite_not_silently_zero() -> None:
    """1 1 2 needs four frames: two and a blank between, then one."""
    logits = torch.randn(2, 4, 3)
    targets = torch.tensor([[1, 1, 2], [1, 1, 2]])
    found = CTC()(logits, targets, torch.tensor([3, 4]))
    assert found[0] == float("inf")
    assert found[1].isfinite()


def test_the_gradient_is_that_of_the_logits() -> None:
    """It holds through log_softmax alone: by differences, in double precision."""
    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.tensor([[1, 1], [2, -1]])
    exact = logits.float().requires_grad_()
    CTC()(exact, targets).sum().backward()
    assert exact.grad is not None
    for place in [(0, 0, 0), (0, 2, 1), (1, 4, 2)]:
        moved = [logits.clone(), logits.clone()]
        moved[0][place] += 1e-3
        moved[1][place] -= 1e-3
        up, down = (float(CTC()(x, targets).sum()) for x in moved)
        assert float(exact.grad[place]) == pytest.approx((up - down) / 2e-3, abs=2e-3)
