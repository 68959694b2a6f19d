"""The state of the random-number generators, of this and of another machine."""

import random

import numpy as np
import pytest
import torch

from leyden.utils.random_state import rng_state, set_rng_state, set_torch_rng


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002


def test_a_restored_state_draws_the_same_numbers() -> None:
    state = rng_state()
    first = draws()
    assert draws() != first
    set_rng_state(state)
    assert draws() == first


@pytest.mark.parametrize(("here", "restored"), [(0, []), (1, [0]), (2, [0, 1]), (4, [0, 1, 2])])
def test_a_state_of_a_machine_with_other_gpus(
    here: int, restored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: here)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: found.append(device))
    set_torch_rng({"torch": torch.get_rng_state(), "cuda": [torch.get_rng_state()] * 3})
    assert found == restored


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_generator_of_a_gpu() -> None:
    torch.rand(1, device="cuda")
    state = rng_state()
    first = torch.rand(5, device="cuda").tolist()
    set_rng_state(state)
    assert torch.rand(5, device="cuda").tolist() == first
