"""Tables of an evaluation of transcripts: words most often confused, error rates by length and by speaker."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from leyden.reporting.format import confused_words, count, number
from leyden.reporting.terminal.layout import note, plain_table, text

MOST = 10  # rows of a table

Rows = Sequence[Mapping[str, Any]]


def confused_table(split: str, pairs: Rows) -> Iterator[RenderableType]:
    """Yield the most frequent pairs. pairs: `confused_words` of result.json."""
    table = plain_table(f"{split}, confused words", ("", "left"), ("times", "right"))
    for pair in pairs[:MOST]:
        table.add_row(text(confused_words(pair)), count(pair["n"]))
    yield table
    if len(pairs) > MOST:
        yield note(f"{count(len(pairs) - MOST)} more pairs in result.json")


def length_table(split: str, groups: Rows) -> Iterator[RenderableType]:
    """Yield the rates by length, if there is more than one. groups: `by_length` of result.json."""
    if len(groups) > 1:
        yield _rates(f"{split}, by words said", "length", groups)


def speaker_table(split: str, groups: Rows) -> Iterator[RenderableType]:
    """Yield the rates of the worst speakers, if there is more than one. groups: `by_speaker` of result.json."""
    if len(groups) > 1:
        yield _rates(f"{split}, by speaker", "speaker", groups[:MOST])
    if len(groups) > MOST:
        yield note(f"{count(len(groups) - MOST)} more speakers in result.json")


def _rates(title: str, name: str, groups: Rows) -> RenderableType:
    table = plain_table(title, (name, "left"), ("n", "right"), ("words", "right"), ("WER", "right"))
    for head in ("sub.", "del.", "ins.", "string error"):
        table.add_column(head, justify="right", no_wrap=True)
    for group in groups:
        edits = group["words"]
        kinds = (count(edits[kind]) for kind in ("substitutions", "deletions", "insertions"))
        rates = (count(edits["n"]), number(group["wer"]))
        table.add_row(text(group["name"]), count(group["n"]), *rates, *kinds, number(group["string_error"]))
    return table
