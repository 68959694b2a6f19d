"""Maps of a run's answers as one small offline HTML page: each sample with its map on it, and the map's verdict."""

from collections.abc import Sequence

from leyden.reporting.atlas.cards import UNTRAINED, sample_html, verdict_html
from leyden.reporting.atlas.style import CSS
from leyden.reporting.comparison.html_style import CSS as SHARED_CSS
from leyden.reporting.comparison.html_style import document, escape
from leyden.reporting.explained_sample import ExplainedSample
from leyden.reporting.format import number
from leyden.utils.text import percent, plural

_BYTES = 6_000_000  # of all pictures together
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def explanations_page(samples: Sequence[ExplainedSample], run: str) -> str:
    """Return the page as HTML. run: its folder's name."""
    title = f"Maps of {run}"
    most = _BYTES // max(1, len(samples))
    cards = "".join(_card(sample, most) for sample in samples)
    texts = " texts" if any(sample.heat.tokens for sample in samples) else ""
    untrained = f"; {UNTRAINED}" if any(sample.heat.untrained is not None for sample in samples) else ""
    body = (
        f"<h1>{escape(title)}</h1>"
        f'<p class="dim">{plural(len(samples), "sample")}. Red speaks for what is explained, blue against it, '
        f"each map on its own scale; a grey map failed its tests{untrained}.</p>"
        f'<div class="cards{texts}">{cards}</div>\n'
    )
    return document(title, [body], SHARED_CSS + CSS, _POLICY)


def _card(sample: ExplainedSample, most: int) -> str:
    row = "" if sample.row is None else f"row {sample.row}, "
    off = "" if sample.sum_error is None else f"; sum off by {percent(sample.sum_error, 2)}"
    truth = f"true <b>{escape(sample.truth)}</b>, " if sample.truth else ""
    return (
        f'<article class="error"><h4>{escape(sample.name)}</h4>'
        f"{sample_html(sample.name, sample.media, sample.heat, most)}"
        f'<p class="said">{truth}answered <span class="answer">{escape(sample.answer)}</span></p>'
        f'<p class="small">{row}{escape(sample.heat.scalar)} {number(sample.score)}, baseline '
        f"{number(sample.baseline_score)}{off}; highest at {escape(sample.strongest)}</p>"
        f"{verdict_html(sample.heat)}</article>"
    )
