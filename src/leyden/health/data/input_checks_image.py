"""Checks of images: channels, sizes of files, images of one colour, near duplicates."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leyden.data.datamodule import DataModule
from leyden.health.data import near_duplicates_image
from leyden.health.data.input_checks import ConstantWords, InputChecks
from leyden.health.data.input_stats import InputStats
from leyden.health.data.nearest_neighbors import Pairs
from leyden.health.findings import CheckResult, Finding
from leyden.utils.text import percent, plural

FLAT_CHANNEL = 1.0  # grey levels: standard deviation over all pixels
ENLARGED_WARNING = 0.1  # of the images are enlarged to more than twice their size
_GRID = 4  # by 4 cells of an image, whose mean colours are features


@dataclass(frozen=True)
class ImageStats(InputStats):
    """Statistics of n images.

    Args:
        grey: whether every image has three equal channels.
        thumbs: uint8 (n, h, w), for near duplicates.
    """

    grey: bool
    thumbs: Tensor


class ImageChecks(InputChecks):
    """Checks of the images of a data set."""

    constant_words: ClassVar[ConstantWords] = ConstantWords(
        "constant_input", "images of more than one colour", "have only one colour"
    )
    feature_words: ClassVar[str] = "colours"

    @cached_property
    def stats(self) -> ImageStats:
        """Statistics of every image of train, val and test."""
        rows = np.concatenate(self.data.splits)
        parts = self._by_chunk(self._part, rows)
        arrays = {
            name: np.concatenate([part[name] for part in parts])
            for name in ("levels", "features", "constant")
        }
        thumbs = torch.cat([part["thumbs"] for part in parts])
        return ImageStats(rows=rows, grey=all(part["grey"] for part in parts), thumbs=thumbs, **arrays)

    def _part(self, rows: np.ndarray) -> dict[str, Any]:
        images = self.data.table.inputs.gather(rows).values
        pixels = images.float()
        mean, std = pixels.mean((2, 3)), pixels.std((2, 3), correction=0)
        places = F.adaptive_avg_pool2d(pixels, _GRID).flatten(1)
        return {
            "levels": torch.cat([mean, std], 1).numpy(),
            "features": torch.cat([places, std], 1).numpy(),
            "constant": (images.amax((1, 2, 3)) == images.amin((1, 2, 3))).numpy(),
            "grey": images.shape[1] == 3 and bool((images[:, :1] == images).all()),
            "thumbs": near_duplicates_image.thumbnails(images),
        }

    def _are_constant(self, rows: np.ndarray) -> np.ndarray:
        """bool (n,), many images at once."""
        blocks = [rows[start : start + 4096] for start in range(0, len(rows), 4096)]
        images = (self.data.table.inputs.gather(block).values.flatten(1) for block in blocks)
        same = [(flat.amax(1) == flat.amin(1)).numpy() for flat in images]
        return np.concatenate(same) if same else np.zeros(0, dtype=bool)

    def own_checks(self) -> Iterator[CheckResult]:
        """Channels and sizes."""
        yield channels(self.data, self.stats)
        yield from sizes(self.data)

    def near_duplicates(self, evaluated: np.ndarray) -> Pairs:
        """By comparing thumbnails."""
        queries, keys = (
            torch.from_numpy(self.stats.of(rows)) for rows in (evaluated, self.data.splits.train)
        )
        large = max(self.data.spec.image_size) > near_duplicates_image.SIDE
        return near_duplicates_image.near(self.stats.thumbs, queries, keys, large)

    def level_name(self, dimension: int) -> str:
        """The mean or contrast of a channel."""
        count = self.stats.levels.shape[1] // 2
        return f"{'mean' if dimension < count else 'contrast'} of channel {dimension % count}"


def channels(data: DataModule, stats: ImageStats) -> CheckResult:
    """Channels that do not vary, and three equal channels."""
    count = stats.levels.shape[1] // 2
    train = stats.levels[: len(data.splits.train)].astype(np.float64)
    mean, std = train[:, :count], train[:, count:]
    spread = np.sqrt(np.maximum((std**2 + mean**2).mean(0) - mean.mean(0) ** 2, 0))
    summary = f"mean {_listed(mean.mean(0))}, deviation {_listed(spread)} of 255"
    found = [
        Finding(
            "constant_channel",
            "warning",
            f"Channel {channel} is nearly constant (standard deviation {spread[channel]:.2g} of 255): no information.",
            f"channel {channel}",
            (),
            {"deviation": float(spread[channel])},
        )
        for channel in np.flatnonzero(spread < FLAT_CHANNEL).tolist()
    ]
    if stats.grey:
        message = "The three channels of every image are equal: greyscale images read as colour, at 3 times the cost."
        found.append(Finding("grayscale_as_rgb", "info", message, "", ("data.source.channels=1",)))
    return CheckResult("channels", summary, tuple(found))


def _listed(values: np.ndarray) -> str:
    return "/".join(f"{value:.3g}" for value in values)


def sizes(data: DataModule) -> Iterator[CheckResult]:
    """Sizes of the image files, for sources that resize: images enlarged to more than twice their size."""
    if not hasattr(data.source, "sizes"):
        return
    found = np.asarray(data.source.sizes(), dtype=np.int64).reshape(-1, 2)
    target = min(data.spec.image_size)
    shorter = found.min(axis=1, initial=np.iinfo(np.int64).max)
    share = float(np.mean(shorter * 2 < target)) if len(found) else 0.0
    distinct = len(np.unique(found, axis=0))
    low, high = found.min(0, initial=1 << 30), found.max(0, initial=0)
    summary = f"{plural(distinct, 'size')}, {low[0]}x{low[1]} to {high[0]}x{high[1]} pixels, used at {target}"
    findings = []
    if share > ENLARGED_WARNING:
        message = (
            f"{percent(share)} of the images are enlarged to more than twice their size ({summary}): they are blurred, "
            "and a net can use blur as a shortcut to the source of an image."
        )
        advice = (f"data.source.size={int(np.median(shorter))}",)
        findings.append(
            Finding("upscaled_images", "warning", message, "", advice, {"share": share, "sizes": distinct})
        )
    yield CheckResult("image sizes", summary, tuple(findings))
