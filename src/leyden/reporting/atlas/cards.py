"""One error on the page: the sample with its heat, what was answered, the verdict, the nearest training rows."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from leyden.reporting.atlas.atlas import Atlas, Error, Heat, Media, Neighbour
from leyden.reporting.atlas.media import (
    HEAT_SIDE,
    heat_uri,
    mel_uri,
    picture_uri,
    scaled_heat,
    sound_uri,
    thumbnail_uri,
)
from leyden.reporting.atlas.numbering import Numbering
from leyden.reporting.comparison.html_style import escape
from leyden.reporting.format import number

PIXELS = 64  # side of a picture up to which its pixels are shown as squares
_FLAT = 4  # times as wide as high
_THUMBNAIL = 64
_SMALL = 32  # cells of the untrained net's map
UNTRAINED = (
    "small, the map of the same net at random weights: where it is the same, the map shows the input and not what was "
    "learned"
)
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
    facts = [*_numbers(error, atlas), *filter(None, [other[numbering.other(error)]])]
    return (
        f'<article class="error" id="e{place}" tabindex="-1" data-verdict="{verdict_key(error)}" '
        f"{numbering.attributes(error)}><h4>{escape(error.name)}</h4>"
        f"{sample_html(error.name, error.media, error.heat, most)}{_inputs_html(error, most)}"
        f'<p class="said">{_said(error, atlas)}</p><p class="small">{escape(", ".join(facts))}</p>'
        f"{verdict_html(error.heat)}{_neighbours(error.neighbours, error.diagnosis)}</article>"
    )


def verdict_key(error: Error) -> str:
    """By which the filter of verdicts compares."""
    if not error.heats:
        return "none"
    return {None: "untested", True: "passed", False: "failed"}[error.verdict]


def _inputs_html(error: Error, most: int) -> str:
    """Several inputs, each under its name with its heat and its verdict; before them what each adds."""
    shares = error.shares
    bars = (
        ""
        if shares is None
        else f'<p class="small">{escape(shares.scalar)}, by input:</p>{shares_html(shares.shares)}'
    )
    return bars + "".join(
        f"<h5>{escape(one.name)}</h5>{sample_html(f'{one.name} of {error.name}', one.media, one.heat, most)}"
        f"{verdict_html(one.heat)}"
        for one in error.inputs
    )


def _said(error: Error, atlas: Atlas) -> str:
    """The truth and the answer in words."""
    said = error.mistake
    if not said.true or atlas.kind == "sequences":
        return escape(said.kind)
    label = f"{escape(error.group)}: " if atlas.kind != "classes" else ""
    return (
        f'{label}true <b>{escape(said.true)}</b>, answered <span class="answer">{escape(said.answer)}</span>'
        + ("" if math.isnan(said.probability) else f" {said.probability:.2f}")
    )


def _numbers(error: Error, atlas: Atlas) -> Iterator[str]:
    said = error.mistake
    yield f"row {error.row}"
    for name, value in ((atlas.loss, said.loss), ("margin", said.margin)):
        if not math.isnan(value):
            yield f"{name} {number(value)}"


def sample_html(name: str, media: Media | None, heat: Heat | None, most: int) -> str:
    """A sample with its heat on it, if there is one. most: bytes of its picture."""
    if media is None:
        return ""
    parts = []
    if media.wave is not None:
        parts.append(f"{_player(media, name)}{_cut(media)}")
    if media.mel is not None:
        parts.append(_views(mel_uri(media.mel), f"log-mel of {name}", heat, "mel", 0.0, flipped=True))
    elif media.picture is not None:
        height, width = media.picture.shape[1:]
        # channels over time are a flat picture, shown as high as a spectrogram
        kind = "mel" if width > _FLAT * height else "pixels" if max(height, width) <= PIXELS else "photo"
        parts.append(_views(picture_uri(media.picture, most), name, heat, kind, width / height))
    if media.curve is not None and media.wave is None:
        parts.append(_curve(media))
    if media.text is not None:
        parts.append(_text(media.text, heat))
    return "".join(parts)


def _trust(heat: Heat) -> str:
    return " untrusted" if heat.passes is False else ""


def _views(picture: str, name: str, heat: Heat | None, kind: str, ratio: float, flipped: bool = False) -> str:
    """A picture; beside it its heat, and small that of the untrained net, each on a grey copy.

    The picture stands in the page once, as a variable of the style.

    Args:
        picture: its address.
        name: of the sample.
        heat: on it.
        kind: mel, pixels or photo, which is how large they are shown.
        ratio: width / height of pixels and photos.
        flipped: whether the maps' first row is the lowest tone.
    """
    if heat is None:
        return f'<div class="views {kind}"><img alt="{escape(name)}" src="{picture}"></div>'
    shown = f'<figure><div class="view" role="img" aria-label="{escape(name)}"></div></figure>'
    shown += _heated(heat.values, f"heat{_trust(heat)}", "heat", HEAT_SIDE, flipped)
    if heat.untrained is not None:
        shown += _heated(heat.untrained, "heat untrained", "untrained net", _SMALL, flipped)
    return f'<div class="views {kind}" style="--sample:url({picture});--ratio:{ratio:.4f}">{shown}</div>'


def _heated(values: NDArray[np.float32], kind: str, caption: str, side: int, flipped: bool) -> str:
    """A map on the grey sample; one along a waveform is as high as it."""
    plane = np.atleast_2d(values)
    uri = heat_uri(plane[::-1] if flipped else plane, side)
    return (
        f'<figure class="{kind}"><div class="view"><img alt="{caption}" src="{uri}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _player(media: Media, name: str) -> str:
    assert media.wave is not None
    uri = sound_uri(media.wave, media.sample_rate)
    return f'<audio controls preload="none" aria-label="{escape(name)}" src="{uri}"></audio>'


def _cut(media: Media) -> str:
    """How much of a recording is played, where it is not all."""
    assert media.wave is not None
    played = len(media.wave) / media.sample_rate
    is_whole = played + 0.05 >= media.seconds
    return "" if is_whole else f'<p class="small">the first {played:.1f} of {media.seconds:.1f} s</p>'


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


def _text(text: str, heat: Heat | None) -> str:
    """A text; of one with heat over its tokens, these with their marks, and small with those of the untrained net."""
    if heat is None or not heat.tokens:
        return f'<p class="text">{escape(text)}</p>'
    shown = f'<p class="text{_trust(heat)}">{_marked(heat.tokens, heat.values)}</p>'
    if heat.untrained is not None:
        marked = _marked(heat.tokens, heat.untrained)
        shown += f'<p class="text untrained"><span class="dim">untrained net:</span> {marked}</p>'
    return f"{shown}<details><summary>as it is written</summary>{escape(text)}</details>"


def _marked(tokens: Sequence[str], values: NDArray[np.float32]) -> str:
    """Tokens with their marks."""
    parts = []
    for token, share in zip(tokens, scaled_heat(values).tolist(), strict=False):
        if abs(share) < _LEAST_MARK:
            parts.append(escape(token))
        else:
            kind = "for" if share > 0 else "against"
            parts.append(f'<mark class="{kind}" style="--h:{abs(share):.2f}">{escape(token)}</mark>')
    return " ".join(parts)


def shares_html(shares: Mapping[str, float | None]) -> str:
    """What each input adds to an answer, as bars on one scale: for it to the right of the middle."""
    most = max((abs(share) for share in shares.values() if share is not None), default=0.0) or 1.0
    lines = []
    for name, share in shares.items():
        if share is None:
            lines.append(f"<dt>{escape(name)}</dt><dd>absent</dd>")
            continue
        width, kind = 50 * abs(share) / most, "for" if share > 0 else "against"
        left = 50.0 if share > 0 else 50 - width
        bar = f'<rect class="{kind}" x="{left:.2f}" y="1" width="{width:.2f}" height="8"/>'
        lines.append(
            f'<dt>{escape(name)}</dt><dd><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{bar}'
            f'<path d="M50 0V10"/></svg> {share:+.3g}</dd>'
        )
    return f'<dl class="shares">{"".join(lines)}</dl>'


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
    media, thumb, snippet, player = near.media, "", "", ""
    if media is not None and media.wave is not None:
        player = _player(media, near.name)
    if media is not None and media.picture is not None:
        thumb = f'<img alt="" src="{thumbnail_uri(media.picture, _THUMBNAIL)}">'
    if media is not None and media.text:
        snippet = f": {media.text[:_SNIPPET]}{'...' if len(media.text) > _SNIPPET else ''}"
    kind = "same" if near.is_of_true else "warn"
    return (
        f'<li title="{escape(near.name)}">{thumb}<span><span class="{kind}">{escape(near.label)}</span> '
        f"{near.similarity:.2f}{escape(snippet)}</span>{player}</li>"
    )
