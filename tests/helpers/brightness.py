"""Generated pictures with numeric targets: how bright each is, for tests of regression."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from leyden.data.index import Index, NumberedNames


class Brightness:
    """Noise around a random grey; targets are its mean, 30 to 220, and its contrast, 5 to 25.

    Args:
        samples: how many pictures.
        size: pixels on each side.
        noise: replaces the targets by random numbers, which nothing can be learned of.
        seed: of everything.
    """

    modality: ClassVar[str] = "image"

    def __init__(self, samples: int = 240, size: int = 8, noise: bool = False, seed: int = 0) -> None:
        self.samples, self.size, self.noise, self.seed = samples, size, noise, seed

    def fingerprint(self, cache: Path) -> str:
        return f"brightness-{self.samples}-{self.size}-{self.noise}-{self.seed}"

    def _greys(self) -> np.ndarray:
        return np.random.default_rng(self.seed).uniform([30, 5], [220, 25], (self.samples, 2))

    def index(self) -> Index:
        targets = self._greys()
        if self.noise:
            targets = np.random.default_rng(self.seed + 1).permutation(targets)
        return Index(targets, ("brightness", "contrast"), names=NumberedNames("picture", range(self.samples)))

    def decode(self, row: int) -> np.ndarray:
        mean, contrast = self._greys()[row]
        pixels = np.random.default_rng([self.seed, row]).normal(mean, contrast, (1, self.size, self.size))
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    def facts(self) -> dict[str, Any]:
        return {}


# overrides of a run on it
REGRESSION = ["data=planted_images", "data.source._target_=brightness.Brightness", "task=regression"]
