"""Transient state of every rank that an exact resume needs, besides weights, optimizer and scheduler.

Random-number states, running sums of `self.log` over the epoch so far, and the states of the module's torchmetrics,
which torch omits from `state_dict`.
"""

import io
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torchmetrics import Metric

from leyden.utils import tensors
from leyden.utils.lightning_internals import logged_sums, metric_state, set_metric_state
from leyden.utils.random_state import rng_state, set_rng_state


def collect_state(trainer: Trainer, module: LightningModule) -> list[dict[str, Any]]:
    """The transient state of every rank, in order; must be called on all ranks."""
    state = {
        "rng": rng_state(),
        "logged": logged_sums(trainer).sums(),
        "metrics": {name: metric_state(metric) for name, metric in _metrics(module)},
    }
    if trainer.world_size == 1:
        return [state]
    packed = io.BytesIO()
    torch.save(state, packed)  # gathered as bytes: torch cannot gather NumPy's uint32 random state
    all_ranks: list[bytes] = [b""] * trainer.world_size
    torch.distributed.all_gather_object(all_ranks, packed.getvalue())
    return [tensors.load(io.BytesIO(one)) for one in all_ranks]


def restore_state(trainer: Trainer, module: LightningModule, states: list[dict[str, Any]]) -> None:
    """Restore this rank's part of what `collect_state` returned."""
    state = states[trainer.global_rank % len(states)]
    logged_sums(trainer).await_keys(state["logged"])
    for name, metric in _metrics(module):
        set_metric_state(metric, state["metrics"].get(name, {}))
    set_rng_state(state["rng"])


def _metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    return ((name, part) for name, part in module.named_modules() if isinstance(part, Metric))
