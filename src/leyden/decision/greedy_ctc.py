"""Greedy decoding of CTC: the most probable unit of each frame, repeats joined, blanks left out (NumPy only)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Unit(NamedTuple):
    """One decoded unit.

    id: place in the outputs, from 1.
    start, end: the frames that it is the most probable one of, [start, end).
    probability: the largest of these frames.
    """

    id: int
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class GreedyDecoding:
    """What decodes a run's outputs where group `decision` chooses nothing else."""

    is_neutral: bool = True

    def decode(self, outputs: Floats) -> list[list[int]]:
        """Unit ids of each row of outputs (N, T, C), NaN after a row's last frame."""
        return [[unit.id for unit in row] for row in self.units(outputs)]

    def units(self, outputs: Floats) -> list[list[Unit]]:
        """The decoded units of each row, with their frames."""
        return [_units(row[np.isfinite(row[:, 0])]) for row in outputs]

    def to_dict(self) -> dict[str, Any]:
        """Its name."""
        return {"criterion": "greedy"}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "GreedyDecoding":
        """As it was before `to_dict`."""
        if stored.get("criterion") != "greedy":
            raise ValueError(f"expected criterion greedy, got {stored.get('criterion')!r}")
        return cls()


def _units(logits: Floats) -> list[Unit]:
    """Of one row (T, C), all of whose frames count."""
    if not len(logits):
        return []
    best = logits.argmax(1)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    sure = 1 / shifted.sum(1)
    starts = np.flatnonzero(np.r_[True, best[1:] != best[:-1]])
    ends = np.r_[starts[1:], len(best)]
    return [
        Unit(int(best[a]), int(a), int(b), float(sure[a:b].max()))
        for a, b in zip(starts, ends, strict=True)
        if best[a] != 0
    ]
