"""`leyden errors --csv`: every error as a line, for a spreadsheet or pandas."""

import math
from collections.abc import Iterator
from typing import Any

from leyden.reporting.atlas.atlas import WORDS, Atlas, Error
from leyden.reporting.csv_text import csv_text


def errors_csv(atlas: Atlas) -> str:
    """Return CSV with name, true, answer, probability, loss (of transcripts WER) and margin of every error.

    Of each class, label or length the worst is first.

    Rows that are right are not among them; of numbers, where none is right or wrong, all are. `row` is the place in
    the data set. A column names the class, label or target; of classes it is the true class.
    """
    head = ("name", "row", WORDS[atlas.kind], "true", "answer", "probability", atlas.loss, "margin")
    return csv_text([head, *map(_cells, atlas.listed)])


def suspects_csv(atlas: Atlas) -> str:
    """Return CSV with every suspect training row, the most suspect first."""
    head = ("name", "row", "label", "more_likely", "score", "nearest_differ", "flagged")
    rows = (
        (s.name, s.row, s.given, s.likely, float(f"{s.score:.6g}"), s.neighbours, int(s.flagged))
        for s in atlas.suspects or ()
    )
    return csv_text([head, *rows])


def _cells(error: Error) -> list[Any]:
    words = [error.name, error.row, error.group, error.mistake.true, error.answer]
    return [*words, *_numbers(error)]


def _numbers(error: Error) -> Iterator[float | None]:
    """Without those that there are not."""
    for value in (error.mistake.probability, error.mistake.loss, error.mistake.margin):
        yield None if math.isnan(value) else float(f"{value:.6g}")
