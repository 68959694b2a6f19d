"""What a LightningModule and its data cost together: the typical input, its forward pass, a training step."""

from typing import Any

import torch
from lightning.pytorch import LightningModule

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule, median_length_batch
from leyden.modules.standalone import _plain_failure, preserved_state, training_loss
from leyden.profiling import flops, memory
from leyden.profiling.flops import Flops


def forward_flops(module: LightningModule, data: DataModule) -> Flops | None:
    """Of the net's forward pass for one sample of median length; None for a module that shows no `prepare`."""
    prepare: Any = getattr(module, "prepare", None)
    if prepare is None:
        return None
    batch = median_length_batch(data, 1).to(module.device)
    with preserved_state(module):
        with torch.no_grad():  # the frontend does not count: torch's counter knows no Fourier transform
            prepared = prepare(batch)
        with _plain_failure(
            "a forward pass", batch
        ):  # with gradients: the counter trips over some views without
            return flops.count(module, lambda: module(prepared))


def training_flops(module: LightningModule, batch: Batch) -> Flops:
    """Of a training step, forwards and backwards, for the whole batch."""
    with preserved_state(module, training=True):
        found = flops.count(module, lambda: training_loss(module, batch).backward())
    module.zero_grad()
    return found


def activation_bytes(module: LightningModule, batch: Batch) -> int:
    """What a training step of this batch keeps for its backward pass."""
    with preserved_state(module, training=True), memory.Activations(module).watching() as kept:
        training_loss(module, batch)
        return kept.bytes
