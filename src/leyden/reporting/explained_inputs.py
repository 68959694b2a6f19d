"""A sample of several inputs as `leyden explain` shows it: what each input adds, and the map within each."""

from collections.abc import Mapping
from dataclasses import dataclass

from leyden.reporting.explained_sample import ExplainedSample
from leyden.reporting.format import number


@dataclass(frozen=True)
class ExplainedInputs:
    """One sample.

    Attributes:
        name: of its row, or the words that it was given by.
        row: of the table; None: of a file.
        truth: in words; "": unknown.
        answer: in words.
        scalar: what is shared out, in words.
        score: of all its inputs.
        nothing: what the score of no input is, in words.
        nothing_score: that score.
        shares: of each input, by name; None: the sample has it not.
        maps: within inputs, by name.
        without: why an input has no map, by name.
    """

    name: str
    row: int | None
    truth: str
    answer: str
    scalar: str
    score: float
    nothing: str
    nothing_score: float
    shares: Mapping[str, float | None]
    maps: Mapping[str, ExplainedSample]
    without: Mapping[str, str]

    @property
    def summary(self) -> str:
        """What is shared out, in a sentence."""
        return f"{self.scalar}: {number(self.nothing_score)} of no input ({self.nothing}), {number(self.score)} of all"
