"""Near duplicates made on purpose, and a data layer over inputs in memory: for tests and a benchmark."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from leyden.data.datamodule import DataModule
from leyden.data.index import Index
from leyden.data.long_tail import KeepAll
from leyden.data.modalities import Modality
from leyden.data.reading import ReadingOptions
from leyden.data.sampling_policies import Instance
from leyden.data.split import Given, Split
from leyden.data.targets import kind_of
from leyden.data.tokenizers import Word

TRAIN, VAL, TEST = 0, 1, 2


class Held:
    """A source whose decoded inputs are given."""

    def __init__(
        self, modality: str | Modality, inputs: Sequence[np.ndarray], index: Index, rate: int = 8000
    ) -> None:
        self.modality, self._inputs, self._index, self._rate = modality, inputs, index, rate

    def fingerprint(self, cache: Path) -> str:
        content = hashlib.blake2b(digest_size=12)
        for values in self._inputs:
            content.update(values.tobytes())
        for column in (self._index.targets, self._index.split, self._index.group):
            content.update(b"" if column is None else column.tobytes())
        return content.hexdigest()

    def index(self) -> Index:
        return self._index

    def decode(self, row: int) -> np.ndarray:
        return self._inputs[row]

    def facts(self) -> dict[str, Any]:
        return {"sample_rate": self._rate} if self.modality == "audio" else {}


def layer(
    modality: str | Modality,
    inputs: Sequence[np.ndarray],
    targets: np.ndarray,
    part: np.ndarray | None,
    cache: Path,
    *,
    group: np.ndarray | None = None,
    split: Split | None = None,
    classes: int = 0,
    batch_size: int = 32,
    tokenizer: Word | None = None,
    names: Sequence[str] = (),
    **reading: Any,
) -> DataModule:
    """The data layer over inputs; targets (N,) classes, (N, L) others; part (N,): 0 train, 1 val, 2 test."""
    kind = kind_of(targets)
    count = targets.shape[1] if targets.ndim == 2 else classes or int(targets.max()) + 1
    numbered = (f"{'class' if kind == 'classes' else 'target'} {c}" for c in range(count))
    given = None if part is None else part.astype(np.int8)
    groups = () if group is None else tuple(f"group {g}" for g in range(int(group.max()) + 1))
    index = Index(
        targets, tuple(names or numbered), given, None if group is None else group.astype(np.int32), groups
    )
    return DataModule(
        source=Held(modality, inputs, index),  # type: ignore[arg-type]
        split=split or Given(),
        long_tail=KeepAll(),
        policy=Instance(),
        tokenizer=(tokenizer or Word()) if modality == "text" else None,
        cache=cache,
        batch_size=batch_size,
        seed=1,
        reading=ReadingOptions(**reading),
        kind=kind,
    )


def image_copy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another brightness and contrast, moved by up to a pixel each way, noise, JPEG of quality 70 to 95."""
    values = image.astype(np.float32) * rng.uniform(0.85, 1.15) + rng.uniform(-15, 15)
    down, right = rng.integers(0, 3, 2)
    height, width = image.shape[1:]
    values = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")[
        :, down : down + height, right : right + width
    ]
    pixels = np.clip(np.rint(values + rng.normal(0, 3, values.shape)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    picture.save(file, "JPEG", quality=int(rng.integers(70, 96)))
    again = np.asarray(Image.open(file))
    return again[None] if again.ndim == 2 else np.ascontiguousarray(again.transpose(2, 0, 1))


def text_copy(text: np.ndarray, rng: np.random.Generator, vocabulary: Sequence[str]) -> np.ndarray:
    """One word in twelve (at least one) replaced, left out or misspelt; perhaps capitals, perhaps more punctuation."""
    words = bytes(text).decode().split()
    for _ in range(max(1, len(words) // 12)):
        place, what = int(rng.integers(len(words))), rng.integers(3)
        if what == 0:
            words[place] = str(vocabulary[int(rng.integers(len(vocabulary)))])
        elif what == 1:
            del words[place]
        else:
            letter = chr(97 + int(rng.integers(26)))
            cut = int(rng.integers(len(words[place]) + 1))
            words[place] = words[place][:cut] + letter + words[place][cut:]
    changed = " ".join(words)
    changed = changed.upper() if rng.random() < 0.5 else changed
    changed = f"{changed} !!" if rng.random() < 0.5 else changed
    return np.frombuffer(changed.encode(), dtype=np.uint8)


def clip_copy(clip: np.ndarray, rng: np.random.Generator, rate: int = 8000) -> np.ndarray:
    """Up to 30 ms more or less at both ends, white noise 25 to 40 dB below the signal, a third to 1.5 times as loud."""
    wave = clip.astype(np.float64)
    for _ in range(2):  # the beginning, then, turned round, the end
        samples = int(rng.integers(-0.03 * rate, 0.03 * rate + 1))
        wave = (wave[samples:] if samples > 0 else np.concatenate([np.zeros(-samples), wave]))[::-1]
    power = np.sqrt(np.mean(wave**2))
    wave = wave + rng.normal(0, power * 10 ** (-rng.uniform(25, 40) / 20), len(wave))
    return np.clip(np.rint(wave * rng.uniform(0.3, 1.5)), -32768, 32767).astype(np.int16)
