"""The states of all random-number generators that a run may draw from: taken and put back."""

import random
from typing import Any

import numpy as np
import torch


def torch_rng() -> dict[str, Any]:
    """Torch's generators alone: cheap enough for every step."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def set_torch_rng(state: dict[str, Any]) -> None:
    """Put them into a state that `torch_rng` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])


def rng_state() -> dict[str, Any]:
    """The state of every generator that a run may draw from."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (a user's code may use the global one)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.array(keys)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Put every generator into a state that `rng_state` returned."""
    random.setstate(state["python"])
    name, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy(), place, has_gauss, gauss))  # noqa: NPY002
    set_torch_rng(state)
