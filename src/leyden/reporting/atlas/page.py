"""An error atlas as one offline HTML page: light or dark, without a framework, usable by keyboard and on a phone.

Nothing is loaded: pictures and sounds stand in the page, and its policy forbids the browser any address. Without its
script everything is still there; only filters need it.
"""

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from leyden.reporting.atlas.atlas import WORDS, Atlas, Group
from leyden.reporting.atlas.cards import UNTRAINED, card, verdict_key
from leyden.reporting.atlas.commands import commands
from leyden.reporting.atlas.matrix import matrix, reliability
from leyden.reporting.atlas.media import data_uri
from leyden.reporting.atlas.numbering import Numbering
from leyden.reporting.atlas.sections import against, all_errors, averages, slices, suspects
from leyden.reporting.atlas.style import CSS, SCRIPT
from leyden.reporting.comparison.html_runs import cell, run_links, table
from leyden.reporting.comparison.html_style import CSS as SHARED_CSS
from leyden.reporting.comparison.html_style import document, escape
from leyden.reporting.format import count, percent_of
from leyden.reporting.plots.draw import draw
from leyden.tasks.figures import ConfusionMatrix, LabelErrors, PrecisionRecall, RecallBars, Reliability

PICTURES = 6_000_000  # bytes of all pictures together, as far as they can be made smaller
_NOT_DRAWN = (
    ConfusionMatrix,
    RecallBars,
    PrecisionRecall,
    Reliability,
    LabelErrors,
)  # here in another form, or not
_VERDICTS = {
    "passed": "heat passed",
    "failed": "heat not to be trusted",
    "untested": "not tested",
    "none": "no heat",
}


def page(atlas: Atlas, folder: Path) -> str:
    """Return the whole page as HTML.

    Args:
        atlas: to show.
        folder: of the page; links to the run are relative to it.
    """
    title = f"Errors of {Path(atlas.folder).name}"
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    )
    body = (*_body(atlas, folder), f"<script>{SCRIPT}</script>")
    return document(title, body, SHARED_CSS + CSS, policy)


def _body(atlas: Atlas, folder: Path) -> Iterator[str]:
    numbering = Numbering.of(atlas)
    yield '<a class="skip" href="#errors">Skip to the errors</a>'
    yield f"<h1>Errors of {escape(Path(atlas.folder).name)}</h1>"
    yield f'<p class="dim">{escape(atlas.summary)}</p>'
    yield "".join(f'<p class="warn">{escape(line)}</p>' for line in atlas.notes)
    sections = [(name, title, text) for name, title, text in _sections(atlas, numbering, folder) if text]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections)
    yield f'<nav aria-label="sections">{links}</nav>'
    for name, title, text in sections:
        yield f'\n<section id="{name}" tabindex="-1"><h2>{title}</h2>{text}</section>'


def _sections(atlas: Atlas, numbering: Numbering, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (id, title, HTML)."""
    yield "classes", f"By {WORDS[atlas.kind]}", _overview(atlas)
    if atlas.confusion is not None:
        remark = f"{atlas.confusion.remark} Click a cell to see its errors below; again, to see all."
        yield (
            "confusion",
            "Confusion",
            f'<p class="dim">{escape(remark)}</p>{matrix(atlas.confusion, numbering)}',
        )
    yield "slices", "Slices", slices(atlas)
    yield "against", "Against another run", "" if atlas.against is None else against(atlas.against)
    yield "errors", "The worst of each", _errors(atlas, numbering)
    yield "averages", "What answers rest on", averages(atlas)
    yield "suspects", "Suspect labels", suspects(atlas)
    yield "calibration", "Calibration and figures", "".join(_figures(atlas))
    yield "all", "All errors", all_errors(atlas, numbering)
    yield (
        "reproduce",
        "Reproduce",
        f'<p class="dim">{" ".join(run_links(Path(atlas.folder), folder))}</p>{_commands(atlas)}',
    )


def _overview(atlas: Atlas) -> str:
    """How many errors each has, and the pairs most often confused."""
    word = WORDS[atlas.kind]
    if not atlas.groups:
        return "<p>No row is wrong.</p>"
    if atlas.kind == "values":
        return ""
    heads = [(word, ""), ("errors", "n"), ("rows", "n"), ("share", "n")]
    rows = (_overview_row(group, place) for place, group in enumerate(atlas.groups))
    pairs = table(
        [("most often", ""), ("times", "n")], (cell(kind) + cell(count(n), "n") for kind, n in atlas.pairs)
    )
    more = (
        "" if atlas.more_groups == 0 else f'<p class="dim">{count(atlas.more_groups)} more with errors.</p>'
    )
    return f'<div class="two"><div>{table(heads, rows)}{more}</div><div>{pairs}</div></div>'


def _overview_row(group: Group, place: int) -> str:
    to = f"#g{place}" if group.worst else ""
    numbers = (count(group.errors), count(group.rows), percent_of(group.errors, group.rows))
    return cell(group.name, "name", to) + "".join(cell(value, "n") for value in numbers)


def _errors(atlas: Atlas, numbering: Numbering) -> str:
    shown = [(place, group) for place, group in enumerate(atlas.groups) if group.worst]
    if not shown:
        return ""
    most = PICTURES // max(1, sum(len(group.worst) for _, group in shown))
    parts, number_of = [_filters(atlas, numbering)], 0
    for place, group in shown:
        cards = []
        for error in group.worst:
            cards.append(card(error, number_of, atlas, numbering, most))
            number_of += 1
        of = "" if atlas.kind == "values" else f" of {count(group.errors)}"
        kind = "cards texts" if atlas.is_text else "cards"
        parts.append(
            f'<section class="group"><h3 id="g{place}">{escape(group.name)} <span class="small">the '
            f'{count(len(group.worst))} worst{of}</span></h3><div class="{kind}">{"".join(cards)}</div></section>'
        )
    return "".join(parts)


def _filters(atlas: Atlas, numbering: Numbering) -> str:
    """Controls that choose among the samples and the listed errors."""
    shown = [error for group in atlas.groups for error in group.worst]
    there = {numbering.group(error) for error in atlas.listed}
    word = "true class" if atlas.kind == "classes" else WORDS[atlas.kind]
    parts = [_select("group", word, [(n, i) for n, i in numbering.groups.items() if i in there])]
    if numbering.answers:
        given = {numbering.answer(error) for error in atlas.listed}
        parts.append(
            _select("answer", "answer", [(n, i) for n, i in numbering.answers.items() if i in given])
        )
        for name, word, value in (("low", "probability from", 0), ("high", "to", 1)):
            parts.append(
                f'<label>{word} <input id="{name}" type="number" min="0" max="1" step="0.05" value="{value}"></label>'
            )
    if atlas.slices:
        parts.append(_select("slice", "slice", [(found.terms, i) for i, found in enumerate(atlas.slices)]))
    if atlas.against is not None:
        parts.append(_select("other", "other run", [("right", "mended"), ("wrong, too", "both")]))
    verdicts = {verdict_key(error) for error in shown}
    if len(verdicts) > 1:
        options = [(words, key) for key, words in _VERDICTS.items() if key in verdicts]
        parts.append(_select("verdict", "heat", options))
    legend = ["Keys: j and k go to the next and previous sample"]
    if verdicts != {"none"}:
        legend.append("red speaks for what is explained, blue against it, grey did not pass its tests")
        legend += [UNTRAINED] if any(e.heat and e.heat.untrained is not None for e in shown) else []
        legend += [f"heat by {atlas.method}"] if atlas.method else []
    if any(error.neighbours for error in shown):
        legend.append("of training rows, labels in colour are others than the error's")
    parts.append(
        '<button type="button" id="reset">show all</button><output id="count" aria-live="polite"></output>'
    )
    controls = f'<div class="filters" role="search" aria-label="filters">{"".join(parts)}</div>'
    return f'{controls}<p class="small">{escape("; ".join(legend))}.</p>'


def _select(name: str, word: str, options: Iterable[tuple[str, object]]) -> str:
    items = "".join(f'<option value="{value}">{escape(words)}</option>' for words, value in options)
    return f'<label>{word} <select id="{name}"><option value="">all</option>{items}</select></label>'


def _figures(atlas: Atlas) -> Iterator[str]:
    """The reliability diagram; of numbers the figures of TensorBoard."""
    for name, figure in atlas.figures:
        if isinstance(figure, Reliability):
            yield reliability(figure)
        elif not isinstance(figure, _NOT_DRAWN):
            file = io.BytesIO()
            draw(figure).savefig(file, format="png", dpi=150)
            uri = data_uri("image/png", file.getvalue())
            yield f'<figure class="drawn"><img alt="{escape(name)}" src="{uri}"></figure>'


def _commands(atlas: Atlas) -> str:
    return "".join(
        f'<p class="small">{escape(what)}</p><div class="command"><pre>{escape(line)}</pre>'
        '<button type="button">copy</button></div>'
        for what, line in commands(atlas)
    )
