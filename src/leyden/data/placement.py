"""Where columns lie while a net trains: in memory, or on the device, which then gathers its batches itself."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from leyden.data.batch import Input
from leyden.utils.errors import UserError

Where = Literal["auto", "host", "device"]
SHARE = 0.25  # of the device's free memory that a column may take by itself; the rest is the net's


class OnDevice:
    """Inputs of one shape: values (N, ...) on a device, gathered by rows that lie there, too."""

    def __init__(self, values: Tensor) -> None:
        """See the class."""
        self._values = values

    def gather(self, rows: Tensor) -> Input:
        """The inputs of these rows int64 (B,), (B, ...)."""
        return Input(self._values.index_select(0, rows))


class Placement:
    """Places the one column of a data module, once for all of its loaders.

    Args:
        wanted: `device`, `host`, or `auto`: on a GPU where it takes at most a quarter of the free memory.
    """

    def __init__(self, wanted: Where) -> None:
        self._wanted = wanted
        self._placed: dict[tuple[int, torch.device], OnDevice] = {}

    def __call__(self, columns: Mapping[str, Any], device: torch.device) -> dict[str, OnDevice] | None:
        """The columns on `device`; None: they stay in memory."""
        if not is_placeable(columns) or self._wanted == "host":
            return None
        ((name, column),) = columns.items()
        key = (id(column), device)
        if key not in self._placed:
            if self._wanted == "auto" and not _has_room(column.values.nbytes, device):
                return None
            self._placed[key] = OnDevice(column.copy_on(device))
        return {name: self._placed[key]}


def is_placeable(columns: Mapping[str, Any]) -> bool:
    """Whether there is one input of one shape, decoded."""
    return len(columns) == 1 and all(hasattr(column, "copy_on") for column in columns.values())


def _has_room(size: int, device: torch.device) -> bool:
    """Whether a GPU has room for so many bytes; a processor gathers from memory anyway."""
    return device.type == "cuda" and size <= SHARE * torch.cuda.mem_get_info(device)[0]


def verify_placement(data: Any) -> None:
    """Refuse what cannot be had of a data module, before any work.

    Raises:
        UserError: `device` for inputs that differ in length, that stay files, or of which a row has several.
    """
    if data.reading.placement == "device" and not is_placeable(data.columns):
        raise UserError(
            "data.placement=device: only inputs of one shape that are decoded before (images, below data.limit_gb) can "
            "lie on the device, one for each row; use data.placement=auto"
        )
