"""Two spoken digits at the same time: a multi-label task made of the Free Spoken Digit Dataset."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from leyden.data.fingerprint import fingerprint
from leyden.data.index import Index, PackedStrings
from leyden.data.sources.audio import FSDD, Rate
from leyden.data.sources.derived import draw_pairs, label_sets, with_validation

VERSION = 1  # raise when the recordings made of the same arguments change
_FULL = 32767
_LEVEL = 0.08  # root mean square of each recording, as a share of the full range

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]


def mix(first: NDArray[np.int16], second: NDArray[np.int16]) -> NDArray[np.int16]:
    """The sum of two recordings that begin together, of equal root mean square: int16, as long as the longer one.

    Where the sum would leave the range it is made smaller as a whole. A silent recording stays silent.
    """
    total = np.zeros(max(len(first), len(second)))
    for wave in (first, second):
        level = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2))) if len(wave) else 0.0
        total[: len(wave)] += wave * (_LEVEL * _FULL / level if level > 0 else 0.0)
    peak = float(np.abs(total).max(initial=0.0))
    return np.rint(total * min(1.0, _FULL / max(peak, 1.0))).astype(np.int16)


class FSDDMixed:
    """Two recordings of different digits, added; the label set is which of the ten digits are heard.

    Test mixtures are made of the official test recordings (index 0 to 4 of a digit and speaker), training and
    validation mixtures of the others, no recording being in both. The speakers may be the same.

    Args:
        root: as FSDD's.
        mixes: for training; a tenth as many for validation.
        test_mixes: for testing.
        sample_rate: Hz.
        seed: of what is mixed.
    """

    modality: ClassVar[str] = "audio"

    def __init__(
        self,
        root: str,
        mixes: Count = 4_000,
        test_mixes: Count = 1_000,
        sample_rate: Rate = 8000,
        seed: Seed = 0,
    ) -> None:
        """Nothing is read yet."""
        self._recordings = FSDD(root, sample_rate=sample_rate)
        self._mixes, self._test_mixes, self._seed = mixes, test_mixes, seed

    @cached_property
    def _index(self) -> Index:
        return self._recordings.index()

    @cached_property
    def _plan(self) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Of each mixture: FSDD's rows (P, 2) and the split (P,)."""
        index = self._index
        assert index.split is not None  # the official one
        parts = with_validation(index.targets, index.split)
        return draw_pairs(index.targets, parts, self._mixes, self._test_mixes, self._seed)

    def fingerprint(self, cache: Path) -> str:
        """Of the recordings and the arguments."""
        arguments = [self._mixes, self._test_mixes, self._seed, VERSION]
        return fingerprint(self, {"arguments": arguments}, {"FSDD": self._recordings.fingerprint(cache)})

    def index(self) -> Index:
        """Ten labels, two of them in each mixture, and the split."""
        pairs, split = self._plan
        index = self._index
        names = PackedStrings.of(f"{index.names[a]} + {index.names[b]}" for a, b in pairs.tolist())
        return Index(
            label_sets(index.targets, pairs, len(index.target_names)), index.target_names, split, names=names
        )

    def decode(self, row: int) -> NDArray[np.int16]:
        """int16 (n,); BadInput for a damaged file."""
        first, second = self._plan[0][row].tolist()
        return mix(self._recordings.decode(first), self._recordings.decode(second))

    def facts(self) -> dict[str, Any]:
        """sample_rate in Hz."""
        return self._recordings.facts()
