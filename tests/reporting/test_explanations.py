"""Maps as they are printed, drawn and put on a page."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from rich.console import Console, RenderableType

from leyden.reporting.atlas.atlas import Heat, Media
from leyden.reporting.explained_inputs import ExplainedInputs
from leyden.reporting.explained_sample import ExplainedSample
from leyden.reporting.explanations_page import explanations_page
from leyden.reporting.plots.attribution import attribution_figure
from leyden.reporting.terminal.explanations import explanations_table, inputs_table
from leyden.utils.errors import UserError

VALUES = np.zeros((4, 5), np.float32)
VALUES[2, 3], VALUES[0, 0] = 2.0, -1.0
HEAT = Heat(
    VALUES, "integrated gradients", "logit of 'cat'", "the data's mean", passes=True, verdict="better"
)
PICTURE = ExplainedSample(
    *("a<b>.png", 7, "cat", "dog 0.80", HEAT),
    *(Media(picture=np.full((1, 4, 5), 90, np.uint8)), 1.5, -0.25, 0.0031),
)
TEXT = replace(
    PICTURE,
    name="sms 7",
    heat=replace(
        HEAT, values=np.array([0.5, -1.0, 2.0], np.float32), tokens=("free", "$now", "win"), passes=False
    ),
    media=Media(text="free $now win"),
)
SOUND = replace(
    PICTURE, media=Media(mel=VALUES + 1, wave=np.zeros(80, np.int16), sample_rate=100, seconds=0.8)
)


def printed(*samples: ExplainedSample) -> str:
    return in_terminal(explanations_table(samples))


def in_terminal(shown: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_what_is_highest_is_said_in_the_modalitys_own_words() -> None:
    assert PICTURE.strongest == "y 2, x 3"
    assert TEXT.strongest == "win +2.00, free +0.50"
    assert SOUND.strongest == "0.56 s, band 3 of 4"
    along = replace(SOUND, heat=replace(HEAT, values=np.array([0, 0, 1, 0], np.float32)))
    assert along.strongest == "0.50 s"
    assert replace(PICTURE, heat=replace(HEAT, values=-abs(VALUES))).strongest == "nowhere"


def test_the_table_says_what_is_explained_from_where_and_what_failed() -> None:
    out = printed(PICTURE, TEXT)
    assert "a<b>.png (7)" in out
    assert "sms 7 " in out
    assert "sms 7 (7)" not in out
    assert "0.31 %" in out
    assert "2 maps by integrated gradients, from the data's mean." in out
    assert "Explained: logit of 'cat'." in out
    assert "sms 7: better" in out
    assert "(7): better" not in out


def colours_of(sample: ExplainedSample) -> set[tuple[float, ...]]:
    figure = attribution_figure([sample])
    figure.savefig(io.BytesIO())
    axes = figure.axes[1]
    (shown,) = axes.images
    rgba = shown.to_rgba(shown.get_array())
    return {tuple(np.round(pixel[:3], 3)) for pixel in rgba.reshape(-1, 4)}


def test_for_is_red_against_is_blue_and_a_failed_map_is_grey() -> None:
    coloured = colours_of(PICTURE)
    assert any(red > 0.3 and red > 2 * blue for red, _, blue in coloured)
    assert any(blue > 1.2 * red for red, _, blue in coloured)
    grey = colours_of(replace(PICTURE, heat=replace(HEAT, passes=False)))
    assert all(max(pixel) - min(pixel) < 0.02 for pixel in grey)


def test_every_word_is_drawn_on_its_colour() -> None:
    figure = attribution_figure([replace(TEXT, heat=replace(TEXT.heat, passes=True))])
    figure.savefig(io.BytesIO())
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    assert {"free", r"\$now", "win"} <= set(texts)
    red, _, blue = to_rgb(texts["win"].get_bbox_patch().get_facecolor())
    assert red > blue
    red, _, blue = to_rgb(texts[r"\$now"].get_bbox_patch().get_facecolor())
    assert blue > red


def test_low_tones_are_below_and_all_shapes_are_drawn() -> None:
    for sample in (SOUND, replace(SOUND, heat=replace(HEAT, values=np.ones(8, np.float32)))):
        figure = attribution_figure([sample, sample, sample])
        figure.savefig(io.BytesIO())
        assert figure.axes[0].images[0].origin == "lower"
    with pytest.raises(UserError, match="at most 40 maps, not 41"):
        attribution_figure([PICTURE] * 41)


def test_the_page_is_offline_escapes_names_and_greys_what_failed() -> None:
    page = explanations_page([PICTURE, TEXT, SOUND], "run<1>")
    assert "a&lt;b&gt;.png" in page
    assert "run&lt;1&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('<figure class="heat">') == 2
    assert 'class="text untrusted"' in page
    assert "at random weights" not in page
    beside = explanations_page([replace(PICTURE, heat=replace(HEAT, untrained=VALUES))], "run")
    assert 'alt="untrained net"' in beside
    assert "at random weights" in beside
    assert '<mark class="for"' in page
    assert '<mark class="against"' in page
    assert "not to be trusted" in page


def test_a_sample_of_several_inputs_has_bars_and_a_map_for_each() -> None:
    shares = {"image": 0.5, "text": -1.0, "audio": None}
    sample = ExplainedInputs(
        *("row 3", 3, "a", "b 0.70", "log probability of 'b'", -0.35, "log share of the training rows", -0.7),
        *(shares, {"image": PICTURE}, {"text": "its <net> allows none"}),
    )
    lines = in_terminal(inputs_table([sample]))
    assert re.search(r"row 3 +a +b 0.70 +-0.7 +\+0.5 +-1 +absent +-0.35", lines)
    assert "text: no map: its <net> allows none" in lines
    html = explanations_page([sample], "run")
    assert html.count("<h5>") == 2
    assert "its &lt;net&gt; allows none" in html
    assert '<rect class="for" x="50.00" y="1" width="25.00"' in html
    assert '<rect class="against" x="0.00" y="1" width="50.00"' in html
    assert "<dt>audio</dt><dd>absent</dd>" in html


def test_texts_and_pictures_stand_in_one_figure() -> None:
    figure = attribution_figure([PICTURE, TEXT, PICTURE])
    assert len(figure.axes) == 7  # two axes and a colour bar of each picture, one of the text
