"""Classes and answers by number, so that no name has to stand in an attribute that the page's script compares."""

from collections.abc import Sequence
from dataclasses import dataclass

from leyden.reporting.atlas.atlas import Atlas, Error


@dataclass(frozen=True)
class Numbering:
    """Names of groups and of answers, each with its place."""

    groups: dict[str, int]
    answers: dict[str, int]

    @classmethod
    def of(cls, atlas: Atlas) -> "Numbering":
        """All names of an atlas; of classes both have the same numbers. Numbers have no answers to choose by."""
        groups = [*atlas.confusion.rows] if atlas.confusion else []
        groups = list(dict.fromkeys([*groups, *(group.name for group in atlas.groups)]))
        answers: Sequence[str] = []
        if atlas.kind != "values":
            there = (error.mistake.answer for error in atlas.listed)
            answers = list(dict.fromkeys([*(groups if atlas.kind == "classes" else ()), *there]))
        return cls({name: i for i, name in enumerate(groups)}, {name: i for i, name in enumerate(answers)})

    def group(self, error: Error) -> int:
        """Of the true class, label or number."""
        return self.groups.get(error.group, -1)

    def answer(self, error: Error) -> int:
        """Of what was answered."""
        return self.answers.get(error.mistake.answer, -1)
