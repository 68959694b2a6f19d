"""A sample with its map as plain data: what `leyden explain` prints, draws and puts on a page."""

from dataclasses import dataclass

import numpy as np

from leyden.reporting.atlas.atlas import Heat, Media

_NAMED = 3  # tokens


@dataclass(frozen=True)
class ExplainedSample:
    """One sample.

    Attributes:
        name: of its file or row.
        row: of the table; None: of a file.
        truth: in words; "": unknown.
        answer: in words.
        heat: the map, without padding, with its verdict.
        media: the sample as a person looks at it.
        score: the scalar that is explained, of the sample.
        baseline_score: of the baseline.
        sum_error: by how much the map's sum misses their difference, relative to it; None: the method promises no sum.
    """

    name: str
    row: int | None
    truth: str
    answer: str
    heat: Heat
    media: Media
    score: float
    baseline_score: float
    sum_error: float | None

    @property
    def title(self) -> str:
        """Name, truth and answer in a line."""
        row = "" if self.row is None else f" (row {self.row})"
        truth = f"{self.truth}, " if self.truth else ""
        return f"{self.name}{row}: {truth}answered {self.answer}"

    @property
    def strongest(self) -> str:
        """Where the map is highest: tokens, a time and a band, or a place in the picture."""
        values = self.heat.values
        if not values.size or not (values > 0).any():
            return "nowhere"
        if self.heat.tokens:
            order = np.argsort(-values, kind="stable")[:_NAMED]
            return ", ".join(f"{self.heat.tokens[i]} {values[i]:+.2f}" for i in order if values[i] > 0)
        place = np.unravel_index(int(values.argmax()), values.shape)
        if self.media.seconds:
            time = f"{(place[-1] + 0.5) / values.shape[-1] * self.media.seconds:.2f} s"
            return time if values.ndim == 1 else f"{time}, band {place[0] + 1} of {values.shape[0]}"
        return ", ".join(f"{axis} {i}" for axis, i in zip(("y", "x")[-values.ndim :], place, strict=False))
