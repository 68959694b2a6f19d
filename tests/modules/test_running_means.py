"""Means of an epoch: how many steps' outputs are held, and that it changes no mean."""

import pytest
import torch

from leyden.modules.running_means import RunningMeans, steps_held


def right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs.argmax(1) == targets).float()


@pytest.mark.parametrize(("samples", "classes", "steps"), [(32, 10, 32), (4096, 1000, 4), (4096, 10_000, 1)])
def test_outputs_of_many_classes_are_not_held_for_long(samples: int, classes: int, steps: int) -> None:
    """24 steps of 4,096 samples of 10,000 classes were 3.9 GB."""
    outputs = torch.zeros(1).expand(samples, classes)  # without its memory
    assert steps_held(outputs) == steps
    assert steps == 1 or steps * outputs.numel() * 4 <= 2**26


@pytest.mark.parametrize("most", [2**24, 100, 1])
def test_the_means_do_not_depend_on_it(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.modules.running_means._VALUES_HELD", most)
    generator, means, expected = torch.Generator().manual_seed(0), RunningMeans(right), []
    for step in range(70):
        outputs, targets = torch.randn(8, 3, generator=generator), torch.arange(8) % 3
        means.add(torch.tensor(float(step)), outputs, targets)
        assert len(means._held) < max(1, min(32, most // 24))
        expected.append(right(outputs, targets).mean().item())
    assert means.read_epoch() == pytest.approx((69 / 2, sum(expected) / 70))


@pytest.mark.parametrize("most", [2**24, 100, 1])
def test_means_that_go_on_from_a_state_are_the_same(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.modules.running_means._VALUES_HELD", most)
    generator = torch.Generator().manual_seed(0)
    steps = [(torch.rand((), generator=generator), torch.randn(8, 3, generator=generator)) for _ in range(50)]
    whole, resumed = RunningMeans(right), RunningMeans(right)
    for number, (loss, outputs) in enumerate(steps):
        whole.add(loss, outputs, torch.arange(8) % 3)
        if number in (3, 37):
            state, resumed = resumed.state(), RunningMeans(right)
            resumed.load(state)
        resumed.add(loss, outputs, torch.arange(8) % 3)
    assert resumed.read_epoch() == whole.read_epoch()
