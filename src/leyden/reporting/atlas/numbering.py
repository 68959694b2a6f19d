"""Classes and answers by number, so that no name has to stand in an attribute that the page's script compares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from leyden.reporting.atlas.atlas import Atlas, Error


@dataclass(frozen=True)
class Numbering:
    """Names of groups and of answers, each with its place."""

    groups: dict[str, int]
    answers: dict[str, int]
    slices: Sequence[frozenset[int]] = ()
    mended: frozenset[int] | None = None

    @classmethod
    def of(cls, atlas: Atlas) -> "Numbering":
        """All names of an atlas; of classes both have the same numbers. Numbers have no answers to choose by."""
        groups = [*atlas.confusion.rows] if atlas.confusion else []
        groups = list(dict.fromkeys([*groups, *(group.name for group in atlas.groups)]))
        answers: Sequence[str] = []
        if atlas.kind != "values":
            there = (error.mistake.answer for error in atlas.listed)
            answers = list(dict.fromkeys([*(groups if atlas.kind == "classes" else ()), *there]))
        return cls(
            {name: i for i, name in enumerate(groups)},
            {name: i for i, name in enumerate(answers)},
            [found.places for found in atlas.slices or ()],
            None if atlas.against is None else frozenset(error.place for error in atlas.against.mended),
        )

    def attributes(self, error: Error) -> str:
        """Attributes by which the page's script chooses errors."""
        parts = [f'data-group="{self.group(error)}" data-answer="{self.answer(error)}"']
        inside = [str(i) for i, places in enumerate(self.slices) if error.place in places]
        parts += [f'data-slice="{" ".join(inside)}"'] if inside else []
        parts += [f'data-other="{self.other(error)}"'] if self.mended is not None else []
        if not math.isnan(error.mistake.probability):
            parts.append(f'data-p="{error.mistake.probability:.4f}"')
        return " ".join(parts)

    def other(self, error: Error) -> str:
        """What another run makes of it; "" without one."""
        return "" if self.mended is None else "mended" if error.place in self.mended else "both"

    def group(self, error: Error) -> int:
        """Of the true class, label or number."""
        return self.groups.get(error.group, -1)

    def answer(self, error: Error) -> int:
        """Of what was answered."""
        return self.answers.get(error.mistake.answer, -1)
