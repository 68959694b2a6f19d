"""The errors of a run in the terminal: by class, the pairs most often confused, the worst rows, what to type next."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group as Lines
from rich.console import RenderableType

from leyden.reporting.atlas.atlas import WORDS, Atlas, Error, Kind
from leyden.reporting.atlas.commands import commands
from leyden.reporting.format import count, number, percent_of
from leyden.reporting.terminal.layout import Heading, Prose, facts, note, plain_table, text
from leyden.utils.text import percent, plural

_GROUPS, _WORST, _SUSPECTS = 20, 10, 20


def errors_table(atlas: Atlas) -> RenderableType:
    """Format the errors of a split."""
    parts = [
        text(atlas.summary, "bold"),
        *_groups(atlas),
        *_pairs(atlas),
        *_worst(atlas),
        *_slices(atlas),
        *_suspects(atlas),
        *_against(atlas),
        *map(note, atlas.notes),
    ]
    return Lines(*parts, _advice(atlas))


def _groups(atlas: Atlas) -> Iterator[RenderableType]:
    """Errors of each class or label, the most first."""
    if atlas.kind == "values" or not atlas.groups:
        return
    word = WORDS[atlas.kind]
    table = plain_table(
        f"errors by {word}", (word, "left"), ("errors", "right"), ("rows", "right"), ("share", "right")
    )
    for group in atlas.groups[:_GROUPS]:
        table.add_row(
            text(group.name), count(group.errors), count(group.rows), percent_of(group.errors, group.rows)
        )
    yield table
    if len(atlas.groups) > _GROUPS:
        yield note(f"{count(len(atlas.groups) - _GROUPS)} more with errors, in --csv and --html")


def _pairs(atlas: Atlas) -> Iterator[RenderableType]:
    if not atlas.pairs:
        return
    table = plain_table("most often", ("", "left"), ("times", "right"))
    for kind, times in atlas.pairs:
        table.add_row(text(kind), count(times))
    yield table


def _worst(atlas: Atlas) -> Iterator[RenderableType]:
    """The rows that are most wrong."""
    worst = sorted(atlas.listed, key=_loss, reverse=True)
    if not worst:
        return
    yield _error_rows(f"the {min(_WORST, len(worst))} worst by {atlas.loss}", worst[:_WORST], atlas.kind)


def _loss(error: Error) -> float:
    return 0.0 if math.isnan(error.mistake.loss) else error.mistake.loss


def _error_rows(title: str, errors: Sequence[Error], kind: Kind) -> RenderableType:
    """Format errors as a table: name, true, answer, probability, loss; of labels and numbers, of which."""
    if kind == "sequences":
        return _transcripts(title, errors)
    of: tuple[Heading, ...] = () if kind == "classes" else ((WORDS[kind], "left"),)
    heads: tuple[Heading, ...] = (("name", "left"), *of, ("true", "left"), ("answer", "left"))
    table = plain_table(title, *heads, ("p", "right"), ("loss", "right"))
    for error in errors:
        said = error.mistake
        p = "" if math.isnan(said.probability) else f"{said.probability:.2f}"
        loss = "" if math.isnan(said.loss) else number(said.loss)
        words = [error.name, *([error.group] if of else []), error.true, error.answer]
        table.add_row(*map(text, words), p, loss)
    return table


def _transcripts(title: str, errors: Sequence[Error]) -> RenderableType:
    """Format wrong transcripts with their edits."""
    table = plain_table(title, ("name", "left"), ("[-said-] {+recognised+}", "left"), ("WER", "right"))
    for error in errors:
        table.add_row(text(error.name), text(error.mistake.said), number(error.mistake.loss))
    return table


def _slices(atlas: Atlas) -> Iterator[RenderableType]:
    """Rows with more errors than the others."""
    if not atlas.slices:
        return
    heads: tuple[Heading, ...] = (("rows with", "left"), ("rows", "right"), ("error", "right"))
    table = plain_table("more errors than elsewhere", *heads, ("elsewhere", "right"), ("p", "right"))
    for s in atlas.slices:
        table.add_row(text(s.terms), count(s.n), percent(s.rate), percent(s.rest_rate), f"{s.p:.3f}")
    yield table


def _against(atlas: Atlas) -> Iterator[RenderableType]:
    """What another run does with the same rows."""
    found = atlas.against
    if found is None:
        return
    for title, errors in (("mended", found.mended), ("made", found.made)):
        worst = f", the {_WORST} worst" if len(errors) > _WORST else ""
        shown = f"{plural(len(errors), 'error')} {title} by the other run{worst}"
        if errors:
            yield _error_rows(shown, errors[:_WORST], atlas.kind)
    yield from map(Prose, found.words())
    yield text("")


def _suspects(atlas: Atlas) -> Iterator[RenderableType]:
    """The training labels that are probably wrong."""
    if atlas.suspects is None:
        return
    yield note(atlas.noise_rate)
    table = plain_table(
        "training rows by how far the net has preferred another class",
        *(("name", "left"), ("label", "left"), ("more likely", "left"), ("score", "right")),
        ("nearest differ", "right"),
    )
    for suspect in atlas.suspects[:_SUSPECTS]:
        near = "" if suspect.neighbours is None else percent(suspect.neighbours, 2)
        words = (text(suspect.name), text(suspect.given), text(suspect.likely))
        table.add_row(*words, f"{suspect.score:.2f}", near)
    yield table


def _advice(atlas: Atlas) -> RenderableType:
    """What to type next."""
    rows = commands(atlas)
    return facts(rows if atlas.listed else rows[-1:])
