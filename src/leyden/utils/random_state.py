"""Save and restore the state of all random-number generators that a run may use."""

import random
from typing import Any

import numpy as np
import torch


def torch_rng() -> dict[str, Any]:
    """Return the state of torch's generators only, which is cheap enough for every step."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def set_torch_rng(state: dict[str, Any]) -> None:
    """Restore a state that `torch_rng` returned."""
    torch.set_rng_state(state["torch"])
    # of another machine: maybe of more devices
    for device, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(generator, device)


def rng_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's, torch's and CUDA's generators."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (a user's code may use the global one)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.array(keys)), *rest),
        **torch_rng(),
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restore a state that `rng_state` returned."""
    random.setstate(state["python"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.numpy(), position, has_gauss, gauss))  # noqa: NPY002
    set_torch_rng(state)
