"""Written and spoken digits in one row: pictures of MNIST that are hard to read, recordings of FSDD in noise."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray

from leyden.data.fingerprint import fingerprint
from leyden.data.index import TEST, TRAIN, VAL, Index, NumberedNames, Source
from leyden.data.joined import Places, Several
from leyden.data.modalities import MODALITIES
from leyden.data.sources.audio import FSDD
from leyden.data.sources.image import MNIST
from leyden.data.sources.multimodal import Multimodal
from leyden.utils.errors import UserError

VERSION = 1  # raise when what is made of the same arguments changes
_NOISE, _CHOICE = range(2)  # streams of random numbers
_PIXELS = 28 * 28

Count = Annotated[int, Ge(1)]


class ReducedMNIST(MNIST):
    """MNIST's pictures projected on their first principal components, with the mean, as uint8.

    The components are those of the 60,000 training pictures, for the test pictures too.

    Args:
        root: as MNIST's.
        components: how many; 4 leave about two thirds of the digits readable.
        download: as MNIST's.
    """

    def __init__(
        self, root: str, components: Annotated[int, Interval(ge=1, le=_PIXELS)] = 4, download: bool = True
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root, download)
        self._components = components

    @cached_property
    def _reduced(self) -> np.ndarray:
        whole = self._images
        flat = whole.reshape(len(whole), -1).astype(np.float32)
        split = self.index().split
        train = flat if split is None else flat[split == TRAIN]
        mean = train.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov((train - mean).T))
        basis = vectors[:, ::-1][:, : self._components].astype(np.float32)
        reduced = (flat - mean) @ basis @ basis.T + mean
        return np.clip(np.rint(reduced), 0, 255).astype(np.uint8).reshape(whole.shape)

    def decode(self, row: int) -> np.ndarray:
        """uint8 (1, 28, 28)."""
        found: np.ndarray = self._reduced[row]
        return found

    def fingerprint(self, cache: Path) -> str:
        """Of the files and the number of components."""
        return fingerprint(
            self, {"components": self._components, "version": VERSION}, {"": super().fingerprint(cache)}
        )


class NoisyFSDD(FSDD):
    """Recordings of FSDD in white noise, each `copies` times with noise of its own.

    Args:
        root: as FSDD's.
        decibels: power of the recording over that of the noise; None: no noise.
        copies: of each recording.
        seed: of the noise.
    """

    def __init__(
        self, root: str, decibels: float | None = -13.0, copies: Count = 10, seed: Annotated[int, Ge(0)] = 0
    ) -> None:
        """Nothing is read yet."""
        super().__init__(root)
        self._decibels, self._copies, self._seed = decibels, copies, seed

    def fingerprint(self, cache: Path) -> str:
        """Of the files, the noise and the number of copies."""
        noise = {"decibels": self._decibels, "copies": self._copies, "seed": self._seed, "version": VERSION}
        return fingerprint(self, noise, {"": super().fingerprint(cache)})

    def index(self) -> Index:
        """The recordings, one copy of all after the other."""
        once = super().index()
        return once.take(np.tile(np.arange(len(once)), self._copies))

    def decode(self, row: int) -> np.ndarray:
        """int16 (n,), at a quarter of full scale (root mean square), so that nothing is clipped."""
        clip = super().decode(row % len(self._listing)).astype(np.float64)
        if self._decibels is None:
            return clip.astype(np.int16)
        noise = np.random.default_rng([self._seed, _NOISE, row]).standard_normal(len(clip))
        power = max(float(np.mean(np.square(clip))), 1e-9)
        mixed = clip / np.sqrt(power) * 10 ** (self._decibels / 20) + noise
        scaled = mixed / np.sqrt(np.mean(np.square(mixed))) * 2**13
        return np.clip(np.rint(scaled), -(2**15), 2**15 - 1).astype(np.int16)


class AVDigits(Multimodal):
    """A picture and a recording of the same digit, each hard to tell alone; pairs are always of one class.

    The i-th picture of a digit has the i-th recording of it, over and over, within the same part of the split: training
    and validation pairs are of the training pictures and recordings (validation: the recordings of index 5 to 9),
    test pairs of the test pictures and recordings. After AV-MNIST (Vielzeuf et al. 2018), whose published files pair
    some rows of different digits and have an unknown number of components; figures on them are no target here.

    Args:
        root: holds MNIST/raw and fsdd/recordings.
        samples: of training; a sixth as many (rounded up) are for validation.
        test_samples: of testing.
        components: principal components of the pictures; 784 leave them as they are.
        decibels: of the recordings over the noise; None: no noise.
        copies: of each recording, with noise of its own; with few a net memorizes the noise.
        inputs: which are used, image and audio; None: both.
        seed: of the choice of the pictures and of the noise.
        download: as MNIST's.
    """

    modality: ClassVar[Any] = Several({name: MODALITIES[name] for name in ("image", "audio")})

    def __init__(
        self,
        root: str,
        samples: Count = 24_000,
        test_samples: Count = 3_000,
        components: Annotated[int, Interval(ge=1, le=_PIXELS)] = 4,
        decibels: float | None = -13.0,
        copies: Count = 10,
        inputs: list[str] | None = None,
        seed: Annotated[int, Ge(0)] = 0,
        download: bool = True,
    ) -> None:
        """Nothing is read yet."""
        folder = Path(root)
        self._samples, self._test_samples, self._seed = samples, test_samples, seed
        makers: dict[str, Callable[[], Source]] = {
            "image": lambda: ReducedMNIST(str(folder), components, download),
            "audio": lambda: NoisyFSDD(str(folder / "fsdd"), decibels, copies, seed),
        }
        for name in inputs or ():
            if name not in makers:
                raise UserError(f"data.source.inputs: there is no input {name!r}; there are image, audio")
        self.parts: Mapping[str, Source] = {
            name: make() for name, make in makers.items() if name in (inputs or makers)
        }
        self._all: Mapping[str, Source] = {
            name: self.parts.get(name) or make() for name, make in makers.items()
        }
        self.modality = Several({name: MODALITIES[name] for name in self.parts})  # type: ignore[misc]

    def fingerprint(self, cache: Path) -> str:
        """Of the pictures, the recordings and how many pairs are made."""
        arguments = {"samples": [self._samples, self._test_samples], "seed": self._seed, "version": VERSION}
        return fingerprint(
            self,
            {**arguments, "inputs": list(self.parts)},
            {n: p.fingerprint(cache) for n, p in self._all.items()},
        )

    def join(self, indices: Mapping[str, Index]) -> tuple[Index, Places]:
        """The pairs, of training, validation and test in turn; the same whichever inputs are used."""
        image, audio = (indices.get(name) or self._all[name].index() for name in ("image", "audio"))
        rng = np.random.default_rng([self._seed, _CHOICE])
        wanted = {TRAIN: self._samples, VAL: -(-self._samples // 6), TEST: self._test_samples}
        pools = _pictures(image, wanted, rng)
        sounds = _recordings(audio)
        chosen = [
            (pools[code], _cycled(image.targets[pools[code]], audio.targets, sounds[code])) for code in wanted
        ]
        pictures, recordings = (np.concatenate(part) for part in zip(*chosen, strict=True))
        targets = image.targets[pictures]
        split = np.repeat(np.array(list(wanted), dtype=np.int8), [len(pools[code]) for code in wanted])
        joint = Index(targets, image.target_names, split, names=NumberedNames("pair", range(len(targets))))
        return joint, {name: {"image": pictures, "audio": recordings}[name] for name in self.parts}


def _pictures(
    image: Index, wanted: Mapping[int, int], rng: np.random.Generator
) -> dict[int, NDArray[np.int64]]:
    """The rows of MNIST of each part of the split, in random order; training and validation share none."""
    assert image.split is not None
    train = rng.permutation(np.flatnonzero(image.split == TRAIN))
    test = rng.permutation(np.flatnonzero(image.split == TEST))
    if len(train) < wanted[TRAIN] + wanted[VAL] or len(test) < wanted[TEST]:
        raise UserError(
            f"data.source: samples={wanted[TRAIN]} (and {wanted[VAL]} for validation) and test_samples={wanted[TEST]} "
            f"are more than MNIST's {len(train):,} training and {len(test):,} test pictures: choose fewer"
        )
    return {
        TRAIN: train[: wanted[TRAIN]],
        VAL: train[wanted[TRAIN] :][: wanted[VAL]],
        TEST: test[: wanted[TEST]],
    }


def _recordings(audio: Index) -> dict[int, NDArray[np.int64]]:
    """The rows of FSDD of each part of the split: official test recordings, index 5 to 9 for validation, the others."""
    number = np.array([int(Path(name).stem.rpartition("_")[2]) for name in audio.names])
    return {
        TRAIN: np.flatnonzero(number >= 10),
        VAL: np.flatnonzero((number >= 5) & (number < 10)),
        TEST: np.flatnonzero(number < 5),
    }


def _cycled(
    digits: NDArray[np.int64], spoken: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """For the i-th of each digit (N,) the i-th recording of it among `rows`, over and over: int64 (N,)."""
    found = np.zeros(len(digits), dtype=np.int64)
    for digit in np.unique(digits):
        own = rows[spoken[rows] == digit]
        if not len(own):
            raise UserError(f"data.source.root: FSDD has no recording of {digit} for a part of the split")
        places = np.flatnonzero(digits == digit)
        found[places] = own[np.arange(len(places)) % len(own)]
    return found
