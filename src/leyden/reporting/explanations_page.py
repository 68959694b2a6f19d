"""Maps of a run's answers as one small offline HTML page: each sample with its map on it, and the map's verdict."""

from collections.abc import Sequence

from leyden.reporting.atlas.cards import UNTRAINED, sample_html, shares_html, verdict_html
from leyden.reporting.atlas.style import CSS
from leyden.reporting.comparison.html_style import CSS as SHARED_CSS
from leyden.reporting.comparison.html_style import document, escape
from leyden.reporting.explained_inputs import ExplainedInputs
from leyden.reporting.explained_sample import ExplainedSample
from leyden.reporting.format import number
from leyden.utils.text import percent, plural

_BYTES = 6_000_000  # of all pictures together
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def explanations_page(samples: Sequence[ExplainedSample | ExplainedInputs], run: str) -> str:
    """Return the page as HTML. run: its folder's name."""
    title = f"Maps of {run}"
    maps = [one for sample in samples for one in _maps(sample)]
    most = _BYTES // max(1, len(maps))
    cards = "".join(
        _inputs_card(sample, most) if isinstance(sample, ExplainedInputs) else _card(sample, most)
        for sample in samples
    )
    texts = " texts" if any(one.heat.tokens for one in maps) else ""
    untrained = f"; {UNTRAINED}" if any(one.heat.untrained is not None for one in maps) else ""
    body = (
        f"<h1>{escape(title)}</h1>"
        f'<p class="dim">{plural(len(samples), "sample")}. Red speaks for what is explained, blue against it, '
        f"each map on its own scale; a grey map failed its tests{untrained}.</p>"
        f'<div class="cards{texts}">{cards}</div>\n'
    )
    return document(title, [body], SHARED_CSS + CSS, _POLICY)


def _maps(sample: ExplainedSample | ExplainedInputs) -> list[ExplainedSample]:
    return list(sample.maps.values()) if isinstance(sample, ExplainedInputs) else [sample]


def _inputs_card(sample: ExplainedInputs, most: int) -> str:
    """A sample of several inputs: what each adds, then the map within each."""
    row = "" if sample.row is None else f"row {sample.row}, "
    truth = f"true <b>{escape(sample.truth)}</b>, " if sample.truth else ""
    blocks = "".join(
        f"<h5>{escape(name)}</h5>{_map_html(one, most)}" for name, one in sample.maps.items()
    ) + "".join(
        f'<h5>{escape(name)}</h5><p class="small">no map: {escape(why)}</p>'
        for name, why in sample.without.items()
    )
    return (
        f'<article class="error"><h4>{escape(sample.name)}</h4>'
        f'<p class="said">{truth}answered <span class="answer">{escape(sample.answer)}</span></p>'
        f'<p class="small">{row}{escape(sample.summary)}</p>{shares_html(sample.shares)}{blocks}</article>'
    )


def _card(sample: ExplainedSample, most: int) -> str:
    row = "" if sample.row is None else f"row {sample.row}, "
    truth = f"true <b>{escape(sample.truth)}</b>, " if sample.truth else ""
    return (
        f'<article class="error"><h4>{escape(sample.name)}</h4>'
        f'<p class="said">{truth}answered <span class="answer">{escape(sample.answer)}</span></p>'
        f"{_map_html(sample, most, row)}</article>"
    )


def _map_html(sample: ExplainedSample, most: int, row: str = "") -> str:
    """A map on its sample, what it adds up to, and its verdict."""
    off = "" if sample.sum_error is None else f"; sum off by {percent(sample.sum_error, 2)}"
    return (
        f"{sample_html(sample.name, sample.media, sample.heat, most)}"
        f'<p class="small">{row}{escape(sample.heat.scalar)} {number(sample.score)}, baseline '
        f"{number(sample.baseline_score)}{off}; highest at {escape(sample.strongest)}</p>"
        f"{verdict_html(sample.heat)}"
    )
