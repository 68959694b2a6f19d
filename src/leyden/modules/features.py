"""Features of rows: what a module's net makes of them before its last layer."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from leyden.data.batch import Batch
from leyden.data.datamodule import DataModule
from leyden.modules.standalone import preserved_state
from leyden.nets.layers import length_mask, masked_mean
from leyden.utils.errors import UserError


class Part(NamedTuple):
    """Some of the rows that were asked for, on the CPU.

    places: int64 (B,), where in the rows asked for each stands. features: float32 (B, D). x: float32 (B, ...),
    the net's input, after the frontend.
    """

    places: NDArray[np.int64]
    features: Tensor
    x: Tensor


def has_features(module: LightningModule) -> bool:
    """Whether the module has a net that gives features."""
    return hasattr(getattr(module, "net", None), "features") and hasattr(module, "prepare")


def of_batch(module: LightningModule, batch: Batch) -> tuple[Tensor, Tensor]:
    """Features float32 (B, D) and the net's input float32 (B, ...) of a batch, on the CPU; of frames their mean.

    Of several inputs, which are no one picture, the features stand for the input.
    """
    prepare: Any = module.prepare
    net: Any = module.net
    prepared: Batch = prepare(batch.to(module.device))
    if getattr(net, "takes_named_inputs", False):
        joint = net.features(prepared.inputs, prepared.present).float().cpu()
        return joint, joint
    x, lengths = prepared.input
    features = net.features(x) if lengths is None else net.features(x, lengths)
    if hasattr(net, "output_lengths") and lengths is not None:  # of frames: the mean of a recording's own
        features = masked_mean(features, length_mask(net.output_lengths(lengths), features.shape[1]))
    return features.flatten(1).float().cpu(), x.float().cpu()


def parts(module: LightningModule, data: DataModule, rows: NDArray[np.int64]) -> Iterator[Part]:
    """Yield the features of distinct rows (N,) of the table, batch by batch, those of about one length together."""
    order = np.argsort(rows)
    for batch in data.rows_loader(rows):
        places = order[np.searchsorted(rows, batch.rows.numpy(), sorter=order)]
        yield Part(places, *of_batch(module, batch))


def features_of(module: LightningModule, data: DataModule, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Features (N, D) of rows, in evaluation mode; the module's modes and random numbers stay as they are.

    Args:
        module: trained.
        data: the data layer.
        rows: int64 (N,) of the table, distinct, in any order.

    Raises:
        UserError: the module's net gives no features.
    """
    if not has_features(module):
        raise UserError(
            f"{type(module).__name__} gives no features of a sample: neighbours and clusters need a `net` with "
            "`features(x) -> (B, D)` and a `prepare(batch)`, as docs/extending.md describes them"
        )
    found = np.zeros((0, 0), np.float32)
    with preserved_state(module), torch.no_grad():
        for part in parts(module, data, rows):
            if not found.size:
                found = np.zeros((len(rows), part.features.shape[1]), np.float32)
            found[part.places] = part.features.numpy()
    return found
