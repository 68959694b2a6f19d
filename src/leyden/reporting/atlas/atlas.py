"""What is known of a run's errors, as plain data: `leyden.interpretation.atlas` collects it, this package shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from leyden.metrics.results import Estimate
from leyden.reporting.format import count, interval, number, percent_of, unit_of
from leyden.tasks.errors import Mistake
from leyden.tasks.figures import Figure
from leyden.utils.text import plural

Kind = Literal["classes", "labels", "values", "sequences", "pairs"]
WORDS: Mapping[Kind, str] = {
    **{"classes": "class", "labels": "label", "values": "target", "sequences": "length", "pairs": "class"}
}


@dataclass(frozen=True)
class Heat:
    """A map of what an answer rests on, and whether it passed its tests.

    values: float32 (bins or height, frames or width) or (tokens,): > 0 speaks for `scalar`, < 0 against it.
    tokens: the text's pieces, of a map over tokens.
    method, scalar, baseline: in words.
    passes: whether the map is better than a random order; None: it was not tested.
    verdict: the numbers of its tests, in words.
    untrained: like values, the same method's map of the net at random weights; None: there is none.
    """

    values: NDArray[np.float32]
    method: str
    scalar: str
    baseline: str = ""
    tokens: Sequence[str] = ()
    passes: bool | None = None
    verdict: str = ""
    untrained: NDArray[np.float32] | None = None


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
class InputShown:
    """One of several inputs of a sample: its name, itself, and its heat."""

    name: str
    media: Media
    heat: Heat | None = None


@dataclass(frozen=True)
class SharesShown:
    """What each of several inputs adds to `scalar`, by name; None: the sample has it not."""

    scalar: str
    shares: Mapping[str, float | None]


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
    """One wrong row.

    place: in the stored predictions. row: in the data set. group: its true class, label or number. diagnosis: what the
    nearest training rows say, in words. inputs, shares: of a row with several inputs, in place of media and heat.
    """

    place: int
    row: int
    name: str
    group: str
    mistake: Mistake
    media: Media | None = None
    heat: Heat | None = None
    neighbours: tuple[Neighbour, ...] = ()
    diagnosis: str = ""
    inputs: tuple[InputShown, ...] = ()
    shares: SharesShown | None = None

    @property
    def verdict(self) -> bool | None:
        """Whether all its heat passed its tests; None: it has none, or one was not tested."""
        found = [heat.passes for heat in self.heats]
        return None if None in found or not found else all(found)

    @property
    def heats(self) -> tuple[Heat, ...]:
        """Of its input, or of those of several that have heat."""
        every = (self.heat, *(one.heat for one in self.inputs))
        return tuple(heat for heat in every if heat is not None)

    @property
    def true(self) -> str:
        """The truth in words; of a number which one it is."""
        return self.mistake.true or self.group

    @property
    def answer(self) -> str:
        """What was answered, in words."""
        return self.mistake.answer or self.mistake.said


@dataclass(frozen=True)
class Group:
    """A true class, a label or a number: how many of its `rows` are wrong, and the worst of them."""

    name: str
    errors: int
    rows: int
    worst: tuple[Error, ...]


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common, and more errors than the others. places: in the stored predictions."""

    terms: str
    n: int
    errors: int
    rate: float
    rest_rate: float
    p: float
    places: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Suspect:
    """A training row whose label may be wrong.

    given, likely: its label, and what the net has last answered otherwise.
    score: how far the net has preferred another class over the epochs, 0 to 1.
    neighbours: the share of its nearest training rows that have another label; None: there are no features.
    flagged: whether it stands apart from rows that are only hard.
    """

    row: int
    name: str
    given: str
    likely: str
    score: float
    neighbours: float | None = None
    flagged: bool = True


@dataclass(frozen=True)
class Comparison:
    """The same rows under another run.

    other: its folder. mended: wrong here, right there; made: the opposite. both: wrong in both. rows: of all.
    difference: of the error rates, there - here, with its 95 % interval. p: of McNemar's exact test. wer: the same
    difference of the word error rates of transcripts.
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
    wer: Estimate | None = None

    def words(self) -> list[str]:
        """The numbers as sentences."""
        mended, made = plural(len(self.mended), "error"), count(len(self.made))
        difference, low, high = (f"{100 * share:+.2f} %" for share in (self.difference, self.low, self.high))
        word = "fewer" if self.difference < 0 else "more" if self.difference else "as many"
        found = [
            f"{self.other} mends {mended} of this run and makes {made} others; {count(self.both)} rows are wrong in "
            f"both, of {count(self.rows)}.",
            f"Difference of the error rates {difference} (95 % interval {low} to {high}, Bonett and Price): {word} "
            f"errors there; McNemar's exact test p = {self.p:.3g}.",
        ]
        if self.wer is not None and self.wer.value is not None:
            limits = interval({"low": self.wer.low, "high": self.wer.high}) or "-"
            found.append(
                f"WER there less WER here {number(self.wer.value)} (95 % interval {limits}, "
                f"{unit_of(self.wer.method)})."
            )
        return found


@dataclass(frozen=True)
class Average:
    """The heat of the errors with one answer, averaged: a map like theirs, or (token, mean, how often) of texts.

    is_flipped: whether the map's first row is the lowest tone.
    """

    name: str
    errors: int
    values: NDArray[np.float32] | None = None
    is_flipped: bool = False
    tokens: Sequence[tuple[str, float, int]] = ()


@dataclass(frozen=True)
class Confusion:
    """How often each was answered as what.

    rows: true classes, or labels. columns: answers. counts: rows of columns. sizes: rows of the split that each row of
    the table is of. is_square: whether the diagonal is right. remark: what is shown, in a sentence.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    counts: Sequence[Sequence[int]]
    sizes: Sequence[int]
    is_square: bool
    remark: str


@dataclass(frozen=True)
class Atlas:
    """The errors of one split of a run.

    folder: of the run. split: val or test. kind: of its targets. is_text: whether samples are texts.
    command: that trained it. score: its watched metrics in words. rows: evaluated; wrong: of them, with an error.
    groups: those with the most errors first; more_groups: how many more there are. Samples only of the first ones.
    pairs: (what was taken for what, how often), the most frequent first.
    listed: every error, worst first within its group.
    confusion: how often what was taken for what; None: of numbers.
    figures: (name, plain data) of the split's evaluation.
    method: of the heat, and why it was chosen, in words.
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
    more_groups: int
    pairs: tuple[tuple[str, int], ...]
    listed: Sequence[Error]
    confusion: Confusion | None = None
    figures: tuple[tuple[str, Figure], ...] = ()
    averages: tuple[Average, ...] = ()
    slices: tuple[Slice, ...] | None = None
    suspects: tuple[Suspect, ...] | None = None
    noise_rate: str = ""
    against: Comparison | None = None
    method: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def loss(self) -> str:
        """What a mistake's loss is called: of transcripts it is their word error rate."""
        return "WER" if self.kind == "sequences" else "loss"

    @property
    def summary(self) -> str:
        """How many rows are wrong, as the first line."""
        rows = plural(self.rows, "row")
        if self.kind == "values":
            return f"{self.split}: {rows}; the largest differences of each target"
        score = f"; {self.score}" if self.score else ""
        share = percent_of(self.wrong, self.rows)
        return f"{self.split}: {count(self.wrong)} of {rows} are wrong ({share}){score}"
