"""The tables of the atlas page: slices, suspect labels, another run, and all errors."""

import math
from collections.abc import Sequence

from leyden.reporting.atlas.atlas import WORDS, Atlas, Comparison, Error
from leyden.reporting.atlas.numbering import Numbering
from leyden.reporting.comparison.html_runs import cell, table
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.format import count, number
from leyden.utils.text import plural

MOST_LISTED = 2000  # errors in a table
_OPEN = 10  # lines of one that is open at first


def all_errors(atlas: Atlas, numbering: Numbering) -> str:
    """A table of all errors, the worst of each first, of too many as many of each."""
    if not atlas.listed:
        return ""
    rows = in_turn(atlas.listed, MOST_LISTED)
    left = len(atlas.listed) - len(rows)
    more = (
        f'<p class="dim">{count(left)} more: {escape("leyden errors RUN --csv FILE")} has all.</p>'
        if left
        else ""
    )
    heads = ["name", "row", WORDS[atlas.kind], "true", "answer", "probability", "loss", "margin"]
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "\n".join(_listed(error, numbering) for error in rows)
    return (
        f'{more}<details open><summary>{plural(len(rows), "error")}</summary><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def in_turn(errors: Sequence[Error], most: int) -> list[Error]:
    """At most `most` of errors that stand in groups, as many of each group as there is room for; order is kept."""
    if len(errors) <= most:
        return list(errors)
    seen: dict[str, int] = {}
    ranks = []
    for place, error in enumerate(errors):
        ranks.append((seen.setdefault(error.group, 0), place))
        seen[error.group] += 1
    chosen = sorted(place for _, place in sorted(ranks)[:most])
    return [errors[place] for place in chosen]


def _listed(error: Error, numbering: Numbering) -> str:
    said = error.mistake
    words = (
        cell(error.name, "name"),
        cell(str(error.row), "n"),
        cell(error.group),
        cell(said.true or error.group),
    )
    numbers = ("" if math.isnan(v) else number(v) for v in (said.probability, said.loss, said.margin))
    cells = "".join((*words, cell(said.answer or said.said), *(cell(v, "n") for v in numbers)))
    return f"<tr {numbering.attributes(error)}>{cells}</tr>"


def slices(atlas: Atlas) -> str:
    """Rows with more errors than the others; "" where none were looked for."""
    if atlas.slices is None:
        return ""
    if not atlas.slices:
        return "<p>No group of at least 30 rows has clearly more errors than the others.</p>"
    heads = [
        ("rows with", "w"),
        ("rows", "n"),
        ("wrong", "n"),
        ("error", "n"),
        ("elsewhere", "n"),
        ("p", "n"),
    ]
    rows = (
        cell(s.terms, "w")
        + "".join(
            cell(v, "n")
            for v in (count(s.n), count(s.errors), f"{s.rate:.1%}", f"{s.rest_rate:.1%}", f"{s.p:.3f}")
        )
        for s in atlas.slices
    )
    remark = (
        "Rows with more errors than the others. p is corrected for everything that was looked at; on new rows expect a "
        "smaller difference."
    )
    return f'<p class="dim">{remark}</p>{table(heads, rows)}'


def suspects(atlas: Atlas) -> str:
    """Rows whose label is probably wrong; "" where none were looked for."""
    if atlas.suspects is None:
        return ""
    rate = f"<p>{escape(atlas.noise_rate)}</p>" if atlas.noise_rate else ""
    if not atlas.suspects:
        return f"{rate}<p>No label looks wrong.</p>"
    heads = [("name", ""), ("row", "n"), ("label", ""), ("more likely", ""), ("score", "n")]
    rows = (
        cell(s.name, "name")
        + cell(str(s.row), "n")
        + cell(s.given)
        + cell(s.likely)
        + cell(number(s.score), "n")
        for s in atlas.suspects[:MOST_LISTED]
    )
    return f"{rate}{table(heads, rows)}"


def against(found: Comparison) -> str:
    """What another run does with the same rows."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in found.words())
    parts = (("mended by the other run", found.mended), ("made by the other run", found.made))
    return lines + "".join(_changed(title, errors) for title, errors in parts if errors)


def _changed(title: str, errors: Sequence[Error]) -> str:
    heads = [("name", ""), ("row", "n"), ("true", ""), ("answer", ""), ("p", "n")]
    rows = (
        cell(e.name, "name")
        + cell(str(e.row), "n")
        + cell(e.mistake.true or e.group)
        + cell(e.mistake.answer or e.mistake.said)
        + cell("" if math.isnan(e.mistake.probability) else f"{e.mistake.probability:.2f}", "n")
        for e in errors[:MOST_LISTED]
    )
    is_open = " open" if len(errors) <= _OPEN else ""
    return f"<details{is_open}><summary>{plural(len(errors), 'error')} {title}</summary>{table(heads, rows)}</details>"
