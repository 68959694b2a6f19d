"""One error on the page: the sample with its heat, what was answered, the verdict, the nearest training rows."""

import math
from collections.abc import Iterator

from leyden.reporting.atlas.atlas import Atlas, Error, Heat, Media, Neighbour
from leyden.reporting.atlas.media import heat_uri, mel_uri, picture_uri, scaled_heat, sound_uri, thumbnail_uri
from leyden.reporting.atlas.numbering import Numbering
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.format import number

PIXELS = 64  # side of a picture up to which its pixels are shown as squares
_FLAT = 4  # times as wide as high
_THUMBNAIL = 64
_SNIPPET = 90  # characters of a neighbour's text
_LEAST_MARK = 0.04  # of the strongest: a token with less is not marked


def card(error: Error, place: int, atlas: Atlas, numbering: Numbering, most: int) -> str:
    """An error as an article.

    Args:
        error: to show.
        place: of it on the page, by which links find it.
        atlas: that it belongs to.
        numbering: of names, by which filters compare.
        most: bytes of its picture.
    """
    other = {"mended": "the other run is right", "both": "the other run is wrong, too", "": ""}
    facts = [*_numbers(error), *filter(None, [other[numbering.other(error)]])]
    return (
        f'<article class="error" id="e{place}" tabindex="-1" data-verdict="{verdict_key(error.heat)}" '
        f"{numbering.attributes(error)}><h4>{escape(error.name)}</h4>"
        f"{sample_html(error.name, error.media, error.heat, most)}"
        f'<p class="said">{_said(error, atlas)}</p><p class="small">{escape(", ".join(facts))}</p>'
        f"{verdict_html(error.heat)}{_neighbours(error.neighbours, error.diagnosis)}</article>"
    )


def verdict_key(heat: Heat | None) -> str:
    """By which the filter of verdicts compares."""
    if heat is None:
        return "none"
    return "untested" if heat.passes is None else "passed" if heat.passes else "failed"


def _said(error: Error, atlas: Atlas) -> str:
    """The truth and the answer in words."""
    said = error.mistake
    if not said.true:
        return escape(said.kind)
    label = f"{escape(error.group)}: " if atlas.kind != "classes" else ""
    return (
        f'{label}true <b>{escape(said.true)}</b>, answered <span class="answer">{escape(said.answer)}</span>'
        + ("" if math.isnan(said.probability) else f" {said.probability:.2f}")
    )


def _numbers(error: Error) -> Iterator[str]:
    said = error.mistake
    yield f"row {error.row}"
    for name, value in (("loss", said.loss), ("margin", said.margin)):
        if not math.isnan(value):
            yield f"{name} {number(value)}"


def sample_html(name: str, media: Media | None, heat: Heat | None, most: int) -> str:
    """A sample with its heat on it, if there is one. most: bytes of its picture."""
    if media is None:
        return ""
    trust = " untrusted" if heat is not None and heat.passes is False else ""
    parts = []
    if media.wave is not None:
        parts.append(_player(media, name))
    if media.mel is not None:
        parts.append(_layers(mel_uri(media.mel), f"log-mel of {name}", heat, f"mel{trust}", flipped=True))
    elif media.picture is not None:
        height, width = media.picture.shape[1:]
        # channels over time are a flat picture, shown as high as a spectrogram
        kind = "mel" if width > _FLAT * height else "pixels" if max(height, width) <= PIXELS else ""
        parts.append(_layers(picture_uri(media.picture, most), name, heat, f"{kind}{trust}"))
    if media.curve is not None and media.wave is None:
        parts.append(_curve(media))
    if media.text is not None:
        parts.append(f'<p class="text{trust}">{_marked(media.text, heat)}</p>')
        if heat is not None and heat.tokens:
            parts.append(f"<details><summary>as it is written</summary>{escape(media.text)}</details>")
    return "".join(parts)


def _layers(picture: str, name: str, heat: Heat | None, kind: str, flipped: bool = False) -> str:
    """A picture with its heat on it; `flipped`: the map's first row is the lowest tone."""
    over = ""
    if heat is not None and heat.values.ndim == 2:
        values = heat.values[::-1] if flipped else heat.values
        over = f'<img class="heat" alt="" src="{heat_uri(values)}">'
    return f'<div class="layers {kind}"><img alt="{escape(name)}" src="{picture}">{over}</div>'


def _player(media: Media, name: str) -> str:
    assert media.wave is not None
    played = len(media.wave) / media.sample_rate
    cut = (
        f'<p class="small">the first {played:.1f} of {media.seconds:.1f} s</p>'
        if played + 0.05 < media.seconds
        else ""
    )
    uri = sound_uri(media.wave, media.sample_rate)
    return f'<audio controls preload="none" aria-label="{escape(name)}" src="{uri}"></audio>{cut}'


def _curve(media: Media) -> str:
    """A curve as a small drawing."""
    assert media.curve is not None
    values = media.curve[:: max(1, len(media.curve) // 400)].astype(float).tolist()
    low, high = min(values, default=0.0), max(values, default=1.0)
    scale = 60 / ((high - low) or 1.0)
    points = " ".join(
        f"{300 * i / max(1, len(values) - 1):.1f},{62 - scale * (v - low):.1f}" for i, v in enumerate(values)
    )
    line = f'<polyline class="curve" points="{points}"/>'
    return f'<svg class="c0" viewBox="0 0 300 64" role="img" aria-label="curve">{line}</svg>'


def _marked(text: str, heat: Heat | None) -> str:
    """A text; of one with heat over its tokens, these with their marks."""
    if heat is None or not heat.tokens:
        return escape(text)
    parts = []
    for token, share in zip(heat.tokens, scaled_heat(heat.values).tolist(), strict=False):
        if abs(share) < _LEAST_MARK:
            parts.append(escape(token))
        else:
            kind = "for" if share > 0 else "against"
            parts.append(f'<mark class="{kind}" style="--h:{abs(share):.2f}">{escape(token)}</mark>')
    return " ".join(parts)


def verdict_html(heat: Heat | None) -> str:
    """Whether its tests say that the heat can be trusted; opened, what is explained, by what, and their numbers."""
    if heat is None:
        return ""
    word = {
        None: "not tested",
        True: '<span class="good">passed its tests</span>',
        False: '<span class="warn">not to be trusted</span>',
    }[heat.passes]
    against = f" against {heat.baseline}" if heat.baseline else ""
    what = f"{heat.method} of the {heat.scalar}{against}. {heat.verdict}"
    return f"<details><summary>heat: {word}</summary>{escape(what)}</details>"


def _neighbours(found: tuple[Neighbour, ...], diagnosis: str) -> str:
    if not found:
        return ""
    return (
        f'<p class="small">{escape(diagnosis)}</p>'
        f'<ul class="near" aria-label="nearest training rows">{"".join(map(_neighbour, found))}</ul>'
    )


def _neighbour(near: Neighbour) -> str:
    media, thumb, snippet = near.media, "", ""
    if media is not None and media.picture is not None:
        thumb = f'<img alt="" src="{thumbnail_uri(media.picture, _THUMBNAIL)}">'
    if media is not None and media.text:
        snippet = f": {media.text[:_SNIPPET]}{'...' if len(media.text) > _SNIPPET else ''}"
    kind = "same" if near.is_of_true else "warn"
    return (
        f'<li title="{escape(near.name)}">{thumb}<span><span class="{kind}">{escape(near.label)}</span> '
        f"{near.similarity:.2f}{escape(snippet)}</span></li>"
    )
