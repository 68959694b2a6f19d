"""What training holds beside weights, optimizer and schedule, and an exact resume needs: of each rank its own.

Random-number states, the sums of metrics over the epoch so far, what `self.log` has summed up, and torchmetrics objects
of the module, whose state torch leaves out of `state_dict`.
"""

import io
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric


def take(trainer: Trainer, module: LightningModule) -> list[dict[str, Any]]:
    """The transient state of every rank, in order; to be called on all of them."""
    own = {"rng": rng_state(), "logged": _logged(trainer).sums(), "metrics": _metric_states(module)}
    if trainer.world_size == 1:
        return [own]
    packed = io.BytesIO()
    torch.save(
        own, packed
    )  # pickle, which gathers objects, cannot hold NumPy's state: torch has no storage of uint32
    everyones: list[bytes] = [b""] * trainer.world_size
    torch.distributed.all_gather_object(everyones, packed.getvalue())
    return [torch.load(io.BytesIO(one), map_location="cpu", weights_only=False) for one in everyones]


def put(trainer: Trainer, module: LightningModule, states: list[dict[str, Any]]) -> None:
    """Take up what `take` returned."""
    own = states[trainer.global_rank % len(states)]
    _logged(trainer).await_keys(own["logged"])
    for name, metric in _metrics(module):
        _set_metric(metric, own["metrics"].get(name, {}))
    set_rng_state(own["rng"])


def _logged(trainer: Trainer) -> Any:
    return trainer.fit_loop.epoch_loop._results


def _metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    return ((name, part) for name, part in module.named_modules() if isinstance(part, Metric))


def _metric_states(module: LightningModule) -> dict[str, dict[str, Any]]:
    return {
        name: {state: getattr(metric, state) for state in (*metric._defaults, "_update_count")}
        for name, metric in _metrics(module)
    }


def _set_metric(metric: Metric, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(metric, name, _to(value, metric.device))
    metric._computed = None


def _to(value: Any, device: torch.device) -> Any:
    """Tensors, also in a list, on a device."""
    if isinstance(value, list):
        return [_to(part, device) for part in value]
    return value.to(device) if torch.is_tensor(value) else value


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
