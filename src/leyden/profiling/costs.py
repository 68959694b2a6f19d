"""FLOPs and activation memory of a LightningModule on inputs of median length."""

from typing import Any

import torch
from lightning.pytorch import LightningModule

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.data.typical_batch import median_length_batch
from leyden.modules.standalone import _plain_failure, preserved_state, training_loss
from leyden.profiling import flops, memory
from leyden.profiling.flops import Flops


def forward_flops(module: LightningModule, data: DataModule) -> Flops | None:
    """FLOPs of the net's forward pass for one sample of median length; None for a module without `prepare`."""
    prepare: Any = getattr(module, "prepare", None)
    if prepare is None:
        return None
    batch = median_length_batch(data, 1).to(module.device)
    with preserved_state(module):
        with torch.no_grad():  # the frontend is excluded: torch's counter does not support Fourier transforms
            prepared = prepare(batch)
        with _plain_failure(
            "a forward pass", batch
        ):  # with gradients: the counter fails on some views without
            return flops.count(module, lambda: module(prepared))


def training_flops(module: LightningModule, batch: Batch) -> Flops:
    """FLOPs of a training step, forward and backward pass, for the whole batch."""
    with preserved_state(module, training=True):
        found = flops.count(module, lambda: training_loss(module, batch).backward())
    module.zero_grad()
    return found


def activation_bytes(module: LightningModule, batch: Batch) -> int:
    """Bytes that autograd keeps for the backward pass of a training step of this batch."""
    with preserved_state(module, training=True), memory.Activations(module).watching() as activations:
        training_loss(module, batch)
        return activations.bytes
