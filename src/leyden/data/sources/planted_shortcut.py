"""Pictures with a planted shortcut: a corner mark that goes with the class where the net learns, and not elsewhere."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from leyden.data.fingerprint import fingerprint
from leyden.data.index import TEST, TRAIN, VAL, Index, NumberedNames
from leyden.data.sources.synthetic import PlantedImages, PlantedSignal, Seed, Share

VERSION = 1  # raise when the pictures generated from the same arguments change
_MARKS, _WORN = 4, 5  # streams of random numbers; 0 to 3 are those of PlantedImages
_SPLIT = (0.7, 0.85)  # of the rows: where validation begins, and the test


class PlantedShortcut(PlantedImages):
    """Two classes of pictures, told by a pattern at a random place, or, mostly, by a corner mark.

    A white square in the upper left corner goes with the class "pattern 1": in a share of the training rows it is there
    in pictures of this class and in no others, in the rest the other way round. Validation and test rows bear it in
    half of each class. The metadata "mark" says yes or no. truth is that of PlantedImages: where the pattern is.
    The mark is seen in one glance; patterns are worn and must be learned, from what the mark leaves of the loss.

    Args:
        samples: pictures in all: 70 % to train on, 15 % to validate, 15 % to test.
        agreement: share of the training rows in which the mark goes with the class; .5 is a set without a shortcut.
        covered: whether the corner is painted over in all pictures, which is a cure where data cannot be had anew.
        size: of a picture, in pixels.
        worn: share of a pattern's pixels that are inverted at random, in each picture others.
        contrast: of patterns and clutter: they are so many grey levels above and below the ground.
        noise: standard deviation of the background, as a share of the full range.
        clutter: patches of random pattern beside the planted one.
        seed: of the samples.
    """

    MARK: ClassVar[tuple[int, int, int, int]] = (1, 1, 5, 5)  # top, left, height, width in pixels
    WHITE: ClassVar[int] = 255

    def __init__(
        self,
        samples: Annotated[int, Ge(40)] = 3000,
        agreement: Share = 0.9,
        covered: bool = False,
        size: Annotated[int, Ge(18)] = 28,
        worn: Annotated[float, Ge(0), Le(0.5)] = 0.25,
        contrast: Annotated[int, Ge(1), Le(80)] = 16,
        noise: Share = 0.005,
        clutter: Annotated[int, Ge(0)] = 1,
        seed: Seed = 0,
    ) -> None:
        """Nothing is generated yet."""
        super().__init__(2, samples, size, 1, noise, clutter, seed=seed)
        self.agreement, self.covered = agreement, covered
        self.worn, self.contrast = worn, contrast

    def _shaded(self, bits: NDArray[np.int64]) -> NDArray[np.uint8]:
        return (self.GREY + self.contrast * (2 * bits - 1)).astype(np.uint8)

    @cached_property
    def _plan(self) -> PlantedSignal:
        """As of PlantedImages; a pattern that would lie below the mark is moved down."""
        plan = super()._plan
        top, left, height, width = self.MARK
        below = (plan.truth[:, 0] < top + height) & (plan.truth[:, 1] < left + width)
        plan.truth[below, 0] += top + height
        return plan

    @cached_property
    def _split(self) -> NDArray[np.int8]:
        parts = np.searchsorted(np.array(_SPLIT) * self.samples, np.arange(self.samples), side="right")
        return np.array([TRAIN, VAL, TEST], np.int8)[parts]

    @cached_property
    def marked(self) -> NDArray[np.bool_]:
        """bool (N,), whether each row bears the mark."""
        rng = np.random.default_rng([self.seed, _MARKS])
        labels, agrees = self._plan.labels, np.zeros(self.samples, bool)
        for code in (TRAIN, VAL, TEST):
            share = self.agreement if code == TRAIN else 0.5
            for label in (0, 1):
                rows = rng.permutation(np.flatnonzero((self._split == code) & (labels == label)))
                agrees[rows[: round(share * len(rows))]] = True
        return (labels == 1) == agrees

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generators' versions."""
        return fingerprint(self, {"planted": super().fingerprint(cache), "version": VERSION}, {})

    def index(self) -> Index:
        """Labels, the split, the place of each pattern, and whether there is a mark."""
        plan = self._plan
        return Index(
            plan.labels,
            ("pattern 0", "pattern 1"),
            self._split,
            names=NumberedNames("picture", range(self.samples)),
            truth=plan.truth,
            metadata={"mark": np.where(self.marked, "yes", "no")},
        )

    def decode(self, row: int) -> NDArray[np.uint8]:
        """uint8 (1, size, size)."""
        image: NDArray[np.uint8] = super().decode(row)
        top, left, height, width = self._plan.truth[row].tolist()
        pattern = image[:, top : top + height, left : left + width]
        inverted = np.random.default_rng([self.seed, _WORN, row]).random(pattern.shape) < self.worn
        pattern[inverted] = (2 * self.GREY - pattern[inverted].astype(np.int64)).astype(np.uint8)
        if self.covered or self.marked[row]:
            top, left, height, width = self.MARK
            image[:, top : top + height, left : left + width] = self.GREY if self.covered else self.WHITE
        return image
