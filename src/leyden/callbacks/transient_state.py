"""What training holds beside weights, optimizer and schedule, and an exact resume needs: of each rank its own.

Random-number states, the sums of metrics over the epoch so far, what `self.log` has summed up, and torchmetrics objects
of the module, whose state torch leaves out of `state_dict`.
"""

import io
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

from leyden.utils.lightning_internals import logged_sums, metric_state, set_metric_state
from leyden.utils.random_state import rng_state, set_rng_state


def collect_state(trainer: Trainer, module: LightningModule) -> list[dict[str, Any]]:
    """The transient state of every rank, in order; to be called on all of them."""
    own = {
        "rng": rng_state(),
        "logged": logged_sums(trainer).sums(),
        "metrics": {name: metric_state(metric) for name, metric in _metrics(module)},
    }
    if trainer.world_size == 1:
        return [own]
    packed = io.BytesIO()
    torch.save(
        own, packed
    )  # pickle, which gathers objects, cannot hold NumPy's state: torch has no storage of uint32
    everyones: list[bytes] = [b""] * trainer.world_size
    torch.distributed.all_gather_object(everyones, packed.getvalue())
    return [torch.load(io.BytesIO(one), map_location="cpu", weights_only=False) for one in everyones]


def restore_state(trainer: Trainer, module: LightningModule, states: list[dict[str, Any]]) -> None:
    """Take up what `take` returned."""
    own = states[trainer.global_rank % len(states)]
    logged_sums(trainer).await_keys(own["logged"])
    for name, metric in _metrics(module):
        set_metric_state(metric, own["metrics"].get(name, {}))
    set_rng_state(own["rng"])


def _metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    return ((name, part) for name, part in module.named_modules() if isinstance(part, Metric))
