"""How a data set is read: the knobs of group `data`."""

from dataclasses import dataclass
from typing import Any, Literal

from leyden.data.flipped_labels import Flips
from leyden.data.placement import Where


@dataclass(frozen=True)
class ReadingOptions:
    """How the data are read: the knobs of group `data`; see `leyden.config.schema.Data` for what each does."""

    deduplicate: bool = False
    on_bad: Literal["stop", "skip"] = "stop"
    limit_gb: float = 8.0
    workers: int = 2
    bucket: int = 50
    eval_batch_size: int = 256
    flipped_labels: float = 0.0
    flips: Flips = "uniform"
    flip_seed: int = 0
    placement: Where = "auto"


def reading_options(options: Any) -> ReadingOptions:
    """The `Reading` of a configuration's `data` node."""
    return ReadingOptions(**{name: getattr(options, name) for name in ReadingOptions.__dataclass_fields__})
