"""A generated set whose answer needs two of three inputs: a picture, a sentence and a recording."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from leyden.data.fingerprint import fingerprint
from leyden.data.index import Index, NumberedNames, Source
from leyden.data.joined import Places, Several
from leyden.data.modalities import MODALITIES
from leyden.data.sources.multimodal import Multimodal
from leyden.data.sources.synthetic import PlantedAudio, PlantedImages, PlantedText
from leyden.utils.errors import UserError

VERSION = 1  # raise when the rows generated from the same arguments change
_SECRETS, _ABSENT = range(2)  # streams of random numbers


class PlantedFusion(Multimodal):
    """Nine classes (a, b), a and b each 0 to 2: the picture shows a, the sentence b, the recording (a + b) mod 3.

    Each input alone leaves three classes, any two leave one: the best accuracy is 1/3 by one input, 1 by two or three.
    The signals are those of PlantedImages, PlantedText and PlantedAudio.

    Args:
        samples: rows in all, spread evenly over the classes.
        absent: share of the inputs that are absent; never all of a row, and from one input of a row at most two.
        inputs: which are used, of image, text and audio; None: all.
        seed: of the rows.
    """

    modality: ClassVar[Any] = Several({name: MODALITIES[name] for name in ("image", "text", "audio")})
    SYMBOLS: ClassVar[int] = 3

    def __init__(
        self,
        samples: Annotated[int, Ge(9)] = 2700,
        absent: Annotated[float, Ge(0), Le(0.9)] = 0.0,
        inputs: list[str] | None = None,
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        """Nothing is read yet."""
        self.samples, self.absent, self.inputs, self.seed = samples, absent, inputs, seed
        counts = self._counts()
        made: dict[str, Source] = {
            "image": PlantedImages(self.SYMBOLS, size=16, counts=counts["image"], seed=seed),
            "text": PlantedText(self.SYMBOLS, max_words=12, counts=counts["text"], seed=seed),
            "audio": PlantedAudio(
                self.SYMBOLS, min_seconds=0.2, max_seconds=0.4, counts=counts["audio"], seed=seed
            ),
        }
        for name in inputs or ():
            if name not in made:
                raise UserError(
                    f"data.source.inputs: there is no input {name!r}; there are {', '.join(made)}"
                )
        self.parts: Mapping[str, Source] = {
            name: part for name, part in made.items() if name in (inputs or made)
        }
        self.modality = Several({name: MODALITIES[name] for name in self.parts})  # type: ignore[misc]

    def _symbols(self) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
        """The class (N,) of each row, and what each input shows (N,)."""
        classes = np.arange(self.samples, dtype=np.int64) % self.SYMBOLS**2
        classes = np.random.default_rng([self.seed, _SECRETS]).permutation(classes)
        a, b = classes // self.SYMBOLS, classes % self.SYMBOLS
        return classes, {"image": a, "text": b, "audio": (a + b) % self.SYMBOLS}

    def _counts(self) -> dict[str, list[int]]:
        shown = self._symbols()[1]
        return {name: np.bincount(each, minlength=self.SYMBOLS).tolist() for name, each in shown.items()}

    def fingerprint(self, cache: Path) -> str:
        """Of the arguments and the generators' versions."""
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        digests = {name: part.fingerprint(cache) for name, part in self.parts.items()}
        return fingerprint(self, {**values, "version": VERSION}, digests)

    def join(self, indices: Mapping[str, Index]) -> tuple[Index, Places]:
        """Each row takes the next picture, sentence and recording that show its symbols."""
        classes, shown = self._symbols()
        absent = self._absent()
        places = {}
        for name, index in indices.items():
            places[name] = np.empty(self.samples, dtype=np.int64)
            places[name][np.argsort(shown[name], kind="stable")] = np.argsort(index.targets, kind="stable")
            places[name] = np.where(absent[:, list(shown).index(name)], -1, places[name])
        names = tuple(f"{a}{b}" for a in range(self.SYMBOLS) for b in range(self.SYMBOLS))
        return Index(classes, names, names=NumberedNames("row", range(self.samples))), places

    def _absent(self) -> NDArray[np.bool_]:
        """bool (N, 3), of image, text and audio; a row keeps one that is drawn for it."""
        rng = np.random.default_rng([self.seed, _ABSENT])
        found: NDArray[np.bool_] = rng.random((self.samples, 3)) < self.absent
        found[np.arange(self.samples), rng.integers(0, 3, self.samples)] = False
        return found
