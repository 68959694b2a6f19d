"""What is known of a run's errors, as plain data: `leyden.interpretation.atlas` collects it, this package shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leyden.tasks.errors import Mistake
from leyden.tasks.figures import Figure

Kind = Literal["classes", "labels", "values"]
WORDS: Mapping[Kind, str] = {"classes": "class", "labels": "label", "values": "target"}


@dataclass(frozen=True)
class Heat:
    """A map of what an answer rests on, and whether it passed its tests.

    values: float32 (bins or height, frames or width) or (tokens,): > 0 speaks for `scalar`, < 0 against it.
    tokens: the text's pieces, of a map over tokens.
    method, scalar, baseline: in words.
    passes: whether the map is better than a random order; None: it was not tested.
    verdict: the numbers of its tests, in words.
    """

    values: NDArray[np.float32]
    method: str
    scalar: str
    baseline: str = ""
    tokens: Sequence[str] = ()
    passes: bool | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Media:
    """A sample as a person looks at it; what its modality has not is None or "".

    picture: uint8 (C, H, W). curve: (n,). wave: int16 (n,), the first seconds at `sample_rate`, of `seconds` in all.
    mel: float32 (bands, frames).
    """

    picture: NDArray[np.uint8] | None = None
    curve: NDArray[Any] | None = None
    wave: NDArray[np.int16] | None = None
    sample_rate: int = 0
    seconds: float = 0.0
    mel: NDArray[np.float32] | None = None
    text: str | None = None


@dataclass(frozen=True)
class Neighbour:
    """A training row near an error in the net's features. label: in words; is_of_true: whether it is the error's."""

    name: str
    label: str
    similarity: float
    is_of_true: bool
    media: Media | None = None


@dataclass(frozen=True)
class Error:
    """One wrong row: its place in the stored predictions, its row in the data set, its name, what was answered."""

    place: int
    row: int
    name: str
    group: str
    mistake: Mistake
    media: Media | None = None
    heat: Heat | None = None
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Group:
    """A true class, a label or a number: how many of its `rows` are wrong, and the worst of them."""

    name: str
    errors: int
    rows: int
    worst: tuple[Error, ...]


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common, and more errors than the others."""

    terms: str
    n: int
    errors: int
    rate: float
    rest_rate: float
    p: float


@dataclass(frozen=True)
class Suspect:
    """A row whose label is probably wrong."""

    row: int
    name: str
    given: str
    likely: str
    score: float


@dataclass(frozen=True)
class Comparison:
    """The same rows under another run.

    other: its folder. mended: wrong here, right there; made: the opposite. both: wrong in both. rows: of all.
    difference: of the error rates, there - here, with its 95 % interval. p: of McNemar's exact test.
    """

    other: str
    rows: int
    both: int
    mended: tuple[Error, ...]
    made: tuple[Error, ...]
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Atlas:
    """The errors of one split of a run.

    folder: of the run. split: val or test. kind: of its targets. is_text: whether samples are texts.
    command: that trained it. score: its watched metrics in words. rows: evaluated; wrong: of them, with an error.
    groups: those with the most errors first; at most those that are shown are more than counts.
    pairs: (what was taken for what, how often), the most frequent first.
    listed: every error, worst first within its group.
    figures: (name, plain data) of the split's evaluation.
    notes: what is not here, and why.
    """

    folder: str
    split: str
    kind: Kind
    is_text: bool
    command: tuple[str, ...]
    score: str
    rows: int
    wrong: int
    groups: tuple[Group, ...]
    pairs: tuple[tuple[str, int], ...]
    listed: Sequence[Error]
    figures: tuple[tuple[str, Figure], ...] = ()
    slices: tuple[Slice, ...] | None = None
    suspects: tuple[Suspect, ...] | None = None
    noise_rate: str = ""
    against: Comparison | None = None
    notes: tuple[str, ...] = field(default=())
