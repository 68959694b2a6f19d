"""The tables of the atlas page: slices, suspect labels, another run, all errors; and maps averaged by answer."""

import math
from collections.abc import Sequence

import numpy as np

from leyden.reporting.atlas.atlas import WORDS, Atlas, Average, Comparison, Error
from leyden.reporting.atlas.media import heat_uri
from leyden.reporting.atlas.numbering import Numbering
from leyden.reporting.comparison.html_runs import cell, table
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.format import count, number
from leyden.utils.text import percent, plural

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
    heads = ["name", "row", WORDS[atlas.kind], "true", "answer", "probability", atlas.loss, "margin"]
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
        cell(error.true),
    )
    numbers = ("" if math.isnan(v) else number(v) for v in (said.probability, said.loss, said.margin))
    cells = "".join((*words, cell(error.answer), *(cell(v, "n") for v in numbers)))
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
            for v in (count(s.n), count(s.errors), percent(s.rate), percent(s.rest_rate), f"{s.p:.3f}")
        )
        for s in atlas.slices
    )
    remark = (
        "Rows with more errors than the others. p is corrected for everything that was looked at; on new rows expect a "
        "smaller difference."
    )
    return f'<p class="dim">{remark}</p>{table(heads, rows)}'


def averages(atlas: Atlas) -> str:
    """What answers rest on in the mean of the errors above; "" without heat."""
    if not atlas.averages:
        return ""
    word = "answer" if atlas.kind == "classes" else WORDS[atlas.kind]
    remark = f"The heat of these errors that passed its tests, averaged by {word}: red speaks for it, blue against it."
    return f'<p class="dim">{remark}</p><div class="averages">{"".join(map(_average, atlas.averages))}</div>'


def _average(found: Average) -> str:
    name = f'<b>{escape(found.name)}</b> <span class="small">{plural(found.errors, "error")}</span>'
    if found.values is None:
        strongest = max((abs(mean) for _, mean, _ in found.tokens), default=0.0) or 1.0
        marks = " ".join(
            f'<mark class="{"for" if mean > 0 else "against"}" style="--h:{abs(mean) / strongest:.2f}" '
            f'title="in {count(times)} of them">{escape(token)}</mark>'
            for token, mean, times in found.tokens
        )
        return f'<figure class="wide"><figcaption>{name}</figcaption><p class="text">{marks}</p></figure>'
    values = np.atleast_2d(found.values)
    picture = heat_uri(values[::-1] if found.is_flipped else values)
    drawn = f'<img alt="mean heat of {escape(found.name)}" src="{picture}">'
    return f"<figure>{drawn}<figcaption>{name}</figcaption></figure>"


def suspects(atlas: Atlas) -> str:
    """Rows whose label is probably wrong; "" where none were looked for."""
    if atlas.suspects is None:
        return ""
    rate = f"<p>{escape(atlas.noise_rate)}</p>" if atlas.noise_rate else ""
    if not atlas.suspects:
        return f"{rate}<p>No label looks wrong.</p>"
    numbers = (("score", "n"), ("nearest differ", "n"))
    heads = [("name", ""), ("row", "n"), ("label", ""), ("more likely", ""), *numbers]
    rows = (
        cell(s.name, "name")
        + cell(str(s.row), "n")
        + cell(s.given)
        + cell(s.likely)
        + cell(number(s.score), "n")
        + cell("" if s.neighbours is None else percent(s.neighbours, 2), "n")
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
        + cell(e.true)
        + cell(e.answer)
        + cell("" if math.isnan(e.mistake.probability) else f"{e.mistake.probability:.2f}", "n")
        for e in errors[:MOST_LISTED]
    )
    is_open = " open" if len(errors) <= _OPEN else ""
    return f"<details{is_open}><summary>{plural(len(errors), 'error')} {title}</summary>{table(heads, rows)}</details>"
