"""Transcripts: a text for each row, as a sequence of unit ids; how texts are normalised, cut into units, spelt again.

Targets are int32 (N, L), padded with -1; a row of -1 alone is an empty transcript. Id 0 is CTC's blank, which is an
output of the net and never a target. A space is written as a unit of its own ("characters") or as the beginning of a
unit ("words") by the sign of SentencePiece, so that one rule spells both (Kudo and Richardson 2018, arXiv:1808.06226).
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leyden.data.index import Kind
from leyden.data.spoken_numbers import spoken_numbers
from leyden.data.text_files import composed
from leyden.decision.unit_models import SPACE
from leyden.decision.unit_models import spell as spell
from leyden.utils.errors import UserError
from leyden.utils.text import and_more, percent, plural

BLANK = "<blank>"
PADDING = -1
Units = Literal["characters", "words"]
Normaliser = Literal["none", "lower", "letters", "numbers"]
Ids = NDArray[np.int32]
_SHOWN = 8  # characters in a message


def normalise(text: str, normaliser: Normaliser) -> str:
    """A transcript as it is learned and judged; spaces joined, in composed Unicode form.

    none: nothing more.   lower: case folded.   letters: lower, and all but letters, digits and apostrophes within words
    become spaces.   numbers: letters, with numbers in digits as English words.

    >>> normalise(" Don't  stop, Zoe! ", "letters"), normalise("Thank you.", "lower")
    ("don't stop zoe", 'thank you.')
    """
    text = spoken_numbers(composed(text)) if normaliser == "numbers" else composed(text)
    if normaliser != "none":
        text = composed(text.casefold())
    if normaliser in ("letters", "numbers"):
        text = "".join(c if _is_spoken(c) else " " for c in text.replace("\u2019", "'"))
        text = " ".join(word.strip("'") for word in text.split())
    return " ".join(text.split())


def _is_spoken(character: str) -> bool:
    return character == "'" or unicodedata.category(character)[0] in "LMN"


def cut(text: str, units: Units) -> list[str]:
    """The units of a normalised text.

    >>> cut("no on", "characters"), cut("no on", "words")
    (['n', 'o', '▁', 'o', 'n'], ['▁no', '▁on'])
    """
    if units == "words":
        return [SPACE + word for word in text.split()]
    return list(text.replace(" ", SPACE))


def padded(rows: Sequence[Sequence[int]]) -> Ids:
    """int32 (N, L), padded with -1 to the longest; L is at least 1."""
    found = np.full((len(rows), max([1, *map(len, rows)])), PADDING, dtype=np.int32)
    for target, row in zip(found, rows, strict=True):
        target[: len(row)] = row
    return found


def lengths_of(targets: NDArray[np.integer]) -> NDArray[np.int64]:
    """int64 (N,): how many units each transcript (N, L) has."""
    found: NDArray[np.int64] = (targets >= 0).sum(axis=1)
    return found


def needed_frames(targets: NDArray[np.integer]) -> NDArray[np.int64]:
    """int64 (N,): the fewest frames that CTC can write each transcript (N, L) in: L units, and R repeats.

    Between two equal neighbours there is a blank (Graves et al. 2006).

    >>> needed_frames(np.array([[1, 1, 2], [1, 2, -1], [-1, -1, -1]]))
    array([4, 2, 0])
    """
    repeats = (targets[:, 1:] == targets[:, :-1]) & (targets[:, 1:] >= 0)
    return lengths_of(targets) + repeats.sum(axis=1)


@dataclass(frozen=True)
class TranscriptReader:
    """One column of texts: int32 (N, L) of unit ids, padded with -1. An empty cell is a recording without words.

    units: what texts are cut into. normaliser: see `normalise`. vocabulary: the units that there are (of words, the
    words); (): those that occur.
    """

    units: Units = "characters"
    normaliser: Normaliser = "lower"
    vocabulary: tuple[str, ...] = ()
    kind: ClassVar[Kind] = "sequences"

    def problems(self, columns: Mapping[str, Sequence[str]]) -> dict[int, str]:
        """Texts with units that are not in the vocabulary, where one is given."""
        known = set(self._given)
        if not known:
            return {}
        found = {}
        for name, cells in columns.items():
            for row, cell in enumerate(cells):
                unknown = dict.fromkeys(u for u in self._cut(cell) if u not in known)
                if unknown:
                    found[row] = f"column {name!r} holds {_quoted(unknown)}, not in task.target.vocabulary"
        return found

    def read(self, columns: Mapping[str, Sequence[str]]) -> tuple[Ids, tuple[str, ...]]:
        """Unit ids, and the units: the blank, then those of the vocabulary, or those that occur, sorted."""
        if len(columns) > 1:
            raise UserError(
                f"task=ctc reads one column of texts, got {', '.join(columns)}; name the one of the transcripts"
            )
        (cells,) = columns.values()
        rows = [self._cut(cell) for cell in cells]
        names = (BLANK, *(self._given or sorted({unit for row in rows for unit in row})))
        place = {name: i for i, name in enumerate(names)}
        return padded([[place[unit] for unit in row] for row in rows]), names

    def settings(self) -> dict[str, Any]:
        """What changes the targets."""
        return {"kind": self.kind, "units": self.units, "normaliser": self.normaliser, "given": self._given}

    def _cut(self, cell: str) -> list[str]:
        return cut(normalise(cell, self.normaliser), self.units)

    @property
    def _given(self) -> list[str]:
        """The units of the given vocabulary, each once."""
        return list(dict.fromkeys(unit for entry in self.vocabulary for unit in self._cut_entry(entry)))

    def _cut_entry(self, entry: str) -> list[str]:
        return [SPACE] if entry == " " else self._cut(entry)


def _quoted(units: Iterable[str]) -> str:
    return and_more([repr(unit.replace(SPACE, " ").strip() or " ") for unit in units], _SHOWN)


class Unseen(NamedTuple):
    """Units of a split that no training transcript has: ids, share of all units there, both in words."""

    split: str
    ids: list[int]
    share: float
    message: str


def unseen_units(
    targets: NDArray[np.integer], splits: Sequence[NDArray[np.integer]], names: Sequence[str]
) -> Iterator[Unseen]:
    """Of validation and test, where there are any.

    Args:
        targets: unit ids (N, L), padded with -1.
        splits: rows of train, val and test.
        names: of the units, the blank first.
    """
    train, *others = (np.bincount(targets[rows][targets[rows] > 0], minlength=len(names)) for rows in splits)
    for split, counts in zip(("val", "test"), others, strict=True):
        ids = np.flatnonzero((counts > 0) & (train == 0)).tolist()
        if ids:
            share = float(counts[ids].sum() / counts.sum())
            listed = _quoted(names[i] for i in ids)
            yield Unseen(
                split,
                ids,
                share,
                f"In {split}, {plural(len(ids), 'unit')} ({listed}), {percent(share)} of all, stand in no training "
                "transcript: they cannot be recognised.",
            )


def refuse_blank(targets: NDArray[np.integer], name: Callable[[int], str], where: str) -> None:
    """Refuse transcripts of a source of the user's own that CTC would train on without a word.

    Raises:
        UserError: the blank (id 0) as a target, ids below -1, or padding within a transcript.
    """
    inside = np.arange(targets.shape[1]) < lengths_of(targets)[:, None]
    for wrong, what in (
        ((targets == 0).any(axis=1), "holds 0, which is CTC's blank and no unit: count units from 1"),
        ((targets < PADDING).any(axis=1), f"holds ids below {PADDING}"),
        ((inside & (targets < 0)).any(axis=1), f"has padding ({PADDING}) before its last unit"),
    ):
        if wrong.any():
            raise UserError(f"{where}: {name(int(np.flatnonzero(wrong)[0]))}: a transcript {what}")
