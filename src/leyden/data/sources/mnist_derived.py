"""Tasks beyond classification made of MNIST: two digits in one picture, and the angle by which a digit is turned."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray
from PIL import Image

from leyden.data.fingerprint import fingerprint
from leyden.data.index import TEST, TRAIN, Index, PackedStrings
from leyden.data.sources.derived import draw_pairs, label_sets, with_validation
from leyden.data.sources.image import MNIST
from leyden.utils.errors import UserError

VERSION = 1  # raise when the pictures made of the same arguments change
_SIDE, _SHIFT = 28, 8  # pixels of a digit, and by how many at most it is moved down and right
_PLACES = 3  # a stream of random numbers; 0 to 2 are those of the pairs

Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0)]
Bytes = NDArray[np.uint8]


def overlay(first: Bytes, second: Bytes, shifts: NDArray[np.int64], beside: bool = False) -> Bytes:
    """Two digits (28, 28) on one canvas, the brighter pixel of both: uint8 (36, 36), or (36, 72) where `beside`.

    shifts: (2, 2), of each digit how far down and right it is moved, 0 to 8 pixels; the second one starts in the
    right half where `beside`.
    """
    side = _SIDE + _SHIFT
    canvas = np.zeros((side, 2 * side if beside else side), dtype=np.uint8)
    for digit, (y, x), left in zip((first, second), shifts.tolist(), (0, side if beside else 0), strict=True):
        part = canvas[y : y + _SIDE, left + x : left + x + _SIDE]
        np.maximum(part, digit, out=part)
    return canvas


def turn(digit: Bytes, degrees: float) -> Bytes:
    """A digit (28, 28) turned anticlockwise round its middle, interpolated bilinearly."""
    return np.asarray(Image.fromarray(digit).rotate(degrees, resample=Image.Resampling.BILINEAR))


class MNISTPairs:
    """Two different digits in one picture; the label set is which of the ten digits are in it.

    overlapping: both on 36 x 36 pixels, each moved at random (after MultiMNIST, Sabour et al. 2017, arXiv 1710.09829).
    beside: the first in the left, the second in the right half of 36 x 72. Training and validation pairs are made of
    MNIST's training images, no image being in both, test pairs of its test images.

    Args:
        root: as MNIST's.
        pairs: for training; a tenth as many for validation.
        test_pairs: for testing.
        layout: where the digits are.
        seed: of the pairs and their places.
        download: as MNIST's.
    """

    modality: ClassVar[str] = "image"

    def __init__(
        self,
        root: str,
        pairs: Count = 20_000,
        test_pairs: Count = 5_000,
        layout: Literal["overlapping", "beside"] = "overlapping",
        seed: Seed = 0,
        download: bool = True,
    ) -> None:
        """Nothing is read yet."""
        self._digits = MNIST(root, download)
        self._pairs, self._test_pairs, self._layout, self._seed = pairs, test_pairs, layout, seed

    @cached_property
    def _index(self) -> Index:
        return self._digits.index()

    @cached_property
    def _plan(self) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]]:
        """Of each picture: MNIST's rows (P, 2), the split (P,), the shifts (P, 2, 2)."""
        index = self._index
        assert index.split is not None  # MNIST comes with one
        parts = with_validation(index.targets, index.split)
        pairs, split = draw_pairs(index.targets, parts, self._pairs, self._test_pairs, self._seed)
        shifts = np.random.default_rng([self._seed, _PLACES]).integers(0, _SHIFT + 1, (len(pairs), 2, 2))
        return pairs, split, shifts

    def fingerprint(self, cache: Path) -> str:
        """Of MNIST's files and the arguments."""
        arguments = [self._pairs, self._test_pairs, self._layout, self._seed, VERSION]
        return fingerprint(self, {"arguments": arguments}, {"MNIST": self._digits.fingerprint(cache)})

    def index(self) -> Index:
        """Ten labels, two of them in each picture, and the split."""
        pairs, split, _ = self._plan
        index = self._index
        names = PackedStrings.of(f"{index.names[a]} + {index.names[b]}" for a, b in pairs.tolist())
        return Index(label_sets(index.targets, pairs, 10), index.target_names, split, names=names)

    def decode(self, row: int) -> Bytes:
        """uint8 (1, 36, 36), or (1, 36, 72) beside each other."""
        pairs, _, shifts = self._plan
        first, second = (self._digits.decode(digit)[0] for digit in pairs[row].tolist())
        return overlay(first, second, shifts[row], self._layout == "beside")[None]

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}


class MNISTAngle:
    """A digit turned by a random angle, uniform within +-45 degrees anticlockwise, which is the target.

    The 0 is left out: it looks nearly alike however it is turned. The mean of 10 nearest neighbours among 10,000 turned
    copies of the same digit was wrong by 9.0 degrees for a 0 and by 5.9 to 8.1 for the other digits, also for 1 and 8:
    their symmetry under half a turn is no matter where angles span less than 180 degrees. What remains for all is that
    writers slant differently: noise of the target.

    Args:
        root: as MNIST's.
        samples: training images that are used, each once.
        test_samples: test images that are used.
        largest: angle in degrees.
        seed: of the choice and the angles.
        download: as MNIST's.
    """

    modality: ClassVar[str] = "image"
    LEFT_OUT: ClassVar[tuple[int, ...]] = (0,)

    def __init__(
        self,
        root: str,
        samples: Count = 20_000,
        test_samples: Count = 5_000,
        largest: Annotated[float, Gt(0), Lt(90)] = 45.0,
        seed: Seed = 0,
        download: bool = True,
    ) -> None:
        """Nothing is read yet."""
        self._digits = MNIST(root, download)
        self._samples, self._test_samples, self._largest, self._seed = samples, test_samples, largest, seed

    @cached_property
    def _index(self) -> Index:
        return self._digits.index()

    @cached_property
    def _plan(self) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.float64]]:
        """Of each picture: MNIST's row (N,), the split (N,), the angle (N,) in degrees."""
        index = self._index
        clear = ~np.isin(index.targets, self.LEFT_OUT)
        asked = {TRAIN: ("samples", self._samples), TEST: ("test_samples", self._test_samples)}
        rows = []
        for code, (name, count) in asked.items():
            there = np.flatnonzero((index.split == code) & clear)
            if count > len(there):
                raise UserError(f"data.source.{name}: {count} is more than the {len(there)} images there are")
            rows.append(np.random.default_rng([self._seed, code]).permutation(there)[:count])
        split = np.repeat(np.array(list(asked), dtype=np.int8), [len(part) for part in rows])
        angles = np.random.default_rng([self._seed, _PLACES]).uniform(
            -self._largest, self._largest, len(split)
        )
        return np.concatenate(rows), split, angles

    def fingerprint(self, cache: Path) -> str:
        """Of MNIST's files and the arguments."""
        arguments = [self._samples, self._test_samples, self._largest, self._seed, VERSION]
        return fingerprint(self, {"arguments": arguments}, {"MNIST": self._digits.fingerprint(cache)})

    def index(self) -> Index:
        """The angle in degrees, and MNIST's split."""
        rows, split, angles = self._plan
        names = PackedStrings.of(self._index.names[row] for row in rows.tolist())
        return Index(angles[:, None], ("angle",), split, names=names)

    def decode(self, row: int) -> Bytes:
        """uint8 (1, 28, 28)."""
        rows, _, angles = self._plan
        return turn(self._digits.decode(int(rows[row]))[0], float(angles[row]))[None]

    def facts(self) -> dict[str, Any]:
        """None beyond the index."""
        return {}
