"""The atlas page: complete, offline, escaped, small; and what it is made of."""

import base64
import hashlib
import io
import math
import re
import wave
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from leyden.reporting.atlas.atlas import (
    Atlas,
    Average,
    Comparison,
    Confusion,
    Error,
    Group,
    Heat,
    InputShown,
    Media,
    Neighbour,
    SharesShown,
    Slice,
    Suspect,
)
from leyden.reporting.atlas.media import heat_uri, mel_uri, picture_uri, scaled_heat, sound_uri
from leyden.reporting.atlas.page import page
from leyden.reporting.atlas.sections import MOST_LISTED, in_turn
from leyden.reporting.atlas.table import errors_csv
from leyden.reporting.atlas.terminal import errors_table
from leyden.tasks.errors import Mistake
from leyden.tasks.figures import Reliability
from leyden.utils.console import Printer

HOSTILE = "<script>alert(1)</script>\"'>&\x1b[31m\u202e\x00 <img src=http://evil/x onerror=a>"


class Page(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [a for t, a in self.elements if t == tag and all(a.get(n) == v for n, v in wanted.items())]


def mistake(true: str, answer: str, p: float = 0.9) -> Mistake:
    return Mistake(f"{true} as {answer}", f"{answer} {p:.2f}", true, answer, p, 2.0, -0.5)


def errors_of(
    name: str, others: list[str], count: int, media: Any = None, heat: Heat | None = None
) -> list[Error]:
    return [
        Error(
            i, 10 + i, f"{name} {i}", name, mistake(name, others[i % len(others)], 0.5 + i / 100), media, heat
        )
        for i in range(count)
    ]


def atlas(names: tuple[str, ...] = ("cat", "dog"), each: int = 3, **more: Any) -> Atlas:
    groups, listed = [], []
    media, heat = more.pop("media", None), more.pop("heat", None)
    for name in names:
        own = errors_of(name, [other for other in names if other != name], each, media, heat)
        listed += own
        groups.append(Group(name, each, 20, tuple(own)))
    counts = [[17 if r == c else 3 for c in range(len(names))] for r in range(len(names))]
    known: dict[str, Any] = {
        "folder": "runs/x/y-0123456789",
        "split": "val",
        "kind": "classes",
        "is_text": False,
        "command": ("leyden", "train", "model=mlp"),
        "score": "accuracy 0.9",
        "rows": 40,
        "wrong": len(listed),
        "groups": tuple(groups),
        "more_groups": 0,
        "pairs": (("cat as dog", 3),),
        "listed": listed,
        "confusion": Confusion(names, names, counts, [20] * len(names), True, "Rows are true."),
        "figures": (("reliability", Reliability(np.array([0.2, 0.9, 0.95]), np.array([0, 1, 1]), "")),),
    }
    return Atlas(**{**known, **more})


def resources(text: str) -> Iterator[str]:
    """Every address that a browser would load of a page by itself."""
    for tag, attributes in Page(text).elements:
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            if name in attributes:
                yield attributes[name]
        if tag in ("link", "use", "image", "base"):
            yield attributes.get("href", "")
        yield from re.findall(r"url\(([^)]*)\)", attributes.get("style", ""))
    yield from re.findall(
        r"url\(([^)]*)\)|@import ([^;]*)", "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    )


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    pixels = np.zeros((1, 8, 8), np.uint8)
    heat = Heat(np.ones((8, 8), np.float32), "m", "s", untrained=np.ones((8, 8), np.float32))
    text = page(atlas(media=Media(picture=pixels), heat=heat), tmp_path)
    found = list(resources(text))
    assert len(found) == 18  # of six errors the picture and two maps
    assert all(address.startswith("data:") for address in found)
    assert "http://" not in text.replace("https://", "http://")


def test_its_policy_allows_its_own_script_alone(tmp_path: Path) -> None:
    text = page(atlas(), tmp_path)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        m["content"] for m in Page(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    ]
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_what_a_stranger_named_is_text(tmp_path: Path) -> None:
    heat = Heat(np.ones(2, np.float32), HOSTILE, HOSTILE, HOSTILE, (HOSTILE, HOSTILE), False, HOSTILE)
    near = Neighbour(HOSTILE, HOSTILE, 0.9, False, Media(text=HOSTILE))
    error = Error(0, 1, HOSTILE, HOSTILE, mistake(HOSTILE, "b"), Media(text=HOSTILE), heat, (near,), HOSTILE)
    several = (InputShown(HOSTILE, Media(text=HOSTILE), heat),)
    error = replace(error, inputs=several, shares=SharesShown(HOSTILE, {HOSTILE: 1.0, f"{HOSTILE}2": None}))
    found = atlas(
        (HOSTILE, "b"),
        folder=f"runs/{HOSTILE}",
        command=("leyden", HOSTILE),
        score=HOSTILE,
        notes=(HOSTILE,),
        groups=(Group(HOSTILE, 1, 2, (error,)),),
        listed=[error],
        pairs=((HOSTILE, 1),),
        slices=(Slice(HOSTILE, 30, 3, 0.1, 0.01, 0.01),),
        suspects=(Suspect(1, HOSTILE, HOSTILE, HOSTILE, 0.9),),
        noise_rate=HOSTILE,
        averages=(
            Average(HOSTILE, 1, np.ones((2, 2), np.float32)),
            Average("b", 1, tokens=[(HOSTILE, 1.0, 2)]),
        ),
        against=Comparison(HOSTILE, 9, 1, (error,), (error,), 0.1, 0.0, 0.2, 0.5),
    )
    text = page(found, tmp_path)
    read = Page(text)
    assert len(read.all("script")) == 1
    assert not [a for _, a in read.elements if any(name.startswith("on") for name in a)]
    assert not [a for a in read.all("img") if not a["src"].startswith("data:")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "".join(read.texts).count("<script>alert(1)</script>") > 15


def test_cells_of_the_matrix_choose_by_the_numbers_of_the_cards(tmp_path: Path) -> None:
    read = Page(page(atlas(("cat", "dog", "fox")), tmp_path))
    cells = [b for b in read.all("button") if "data-group" in b]
    assert len(cells) == 6  # the diagonal is right, and no button
    cell = next(b for b in cells if b["aria-label"] == "3 of dog answered fox")
    cards = [a for a in read.all("article") if a["class"] == "error"]
    assert len(cards) == 9
    chosen = [
        c for c in cards if (c["data-group"], c["data-answer"]) == (cell["data-group"], cell["data-answer"])
    ]
    assert len(chosen) == 1
    rows = [r for r in read.all("tr") if "data-group" in r]
    assert len(rows) == 9
    options = {o["value"] for o in read.all("option")}
    assert {c["data-group"] for c in cards} <= options


def test_everything_can_be_reached_by_keyboard_and_has_a_name(tmp_path: Path) -> None:
    sound = Media(
        wave=np.zeros(100, np.int16), sample_rate=8000, seconds=0.0125, mel=np.zeros((4, 5), np.float32)
    )
    text = page(atlas(media=sound, heat=Heat(np.ones((4, 5), np.float32), "m", "s", passes=True)), tmp_path)
    read = Page(text)
    assert all("tabindex" in a for a in read.all("article"))
    assert all("alt" in a for a in read.all("img"))
    assert all("aria-label" in a for a in read.all("audio"))
    named = re.findall(r"<label>[^<]*<(?:select|input) id=\"(\w+)\"|<label><input id=\"(\w+)\"", text)
    controls = {a["id"] for tag in ("select", "input") for a in read.all(tag)}
    assert controls == {a or b for a, b in named} >= {"group", "answer", "low", "high"}
    ids = {a["id"] for _, a in read.elements if "id" in a}
    assert all(a["href"][1:] in ids for a in read.all("a") if a["href"].startswith("#"))


def test_heat_says_by_itself_that_it_is_not_to_be_trusted(tmp_path: Path) -> None:
    pixels = Media(picture=np.zeros((1, 8, 8), np.uint8))
    heat = Heat(np.ones((8, 8), np.float32), "grad cam", "logit", passes=False, verdict="deletion 1.0")
    text = page(atlas(media=pixels, heat=heat), tmp_path)
    assert "not to be trusted" in text
    assert '<figure class="heat untrusted">' in text
    assert "deletion 1.0" in text
    passed = page(
        atlas(media=pixels, heat=Heat(np.ones((8, 8), np.float32), "m", "s", passes=True)), tmp_path
    )
    assert 'untrusted"' not in passed


def drawn(uri: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content(uri))))


def test_the_untrained_nets_map_stands_small_and_named_beside_the_heat(tmp_path: Path) -> None:
    values, other = np.eye(40, dtype=np.float32), -np.eye(40, dtype=np.float32)
    pixels = Media(picture=np.zeros((1, 40, 40), np.uint8))
    text = page(atlas(media=pixels, heat=Heat(values, "m", "s", passes=True, untrained=other)), tmp_path)
    maps = Page(text).all("img", alt="heat"), Page(text).all("img", alt="untrained net")
    assert [len(found) for found in maps] == [6, 6]
    own, untrained = (drawn(found[0]["src"]) for found in maps)
    assert own.shape == (40, 40, 4)
    assert own[3, 3, 0] > own[3, 3, 2]
    assert untrained.shape == (20, 20, 4)  # every second cell
    assert untrained[3, 3, 2] > untrained[3, 3, 0]
    assert text.count("<figcaption>untrained net</figcaption>") == 6
    assert text.count("--sample:url(data:") == 6  # the picture stands there once for all three
    assert "at random weights" in text
    alone = page(atlas(media=pixels, heat=Heat(values, "m", "s", passes=True)), tmp_path)
    assert "untrained net" not in alone
    assert "at random weights" not in alone


def test_a_text_is_marked_by_both_nets(tmp_path: Path) -> None:
    values, other = np.array([1.0, 0.0], np.float32), np.array([0.0, -1.0], np.float32)
    heat = Heat(values, "m", "s", tokens=("win", "cash"), passes=True, untrained=other)
    text = page(atlas(media=Media(text="Win cash"), heat=heat), tmp_path)
    assert '<p class="text"><mark class="for" style="--h:1.00">win</mark> cash</p>' in text
    assert 'untrained net:</span> win <mark class="against"' in text
    assert "as it is written" in text


def test_neighbours_can_be_heard_and_suspects_have_their_neighbours_share(tmp_path: Path) -> None:
    heard = Media(wave=np.zeros(80, np.int16), sample_rate=8000, seconds=0.01)
    near = (Neighbour("a.wav", "dog", 0.9, False, heard), Neighbour("b.wav", "dog", 0.8, False))
    (first, *_), doubtful = errors_of("cat", ["dog"], 1), Suspect(1, "x", "cat", "dog", 0.9, 0.35)
    group = Group("cat", 1, 20, (replace(first, neighbours=near),))
    text = page(atlas(groups=(group,), suspects=(doubtful, replace(doubtful, neighbours=None))), tmp_path)
    assert [player["aria-label"] for player in Page(text).all("audio")] == ["a.wav"]
    assert "nearest differ" in text
    assert text.count("35 %") == 1


def test_no_error_is_a_page_too(tmp_path: Path) -> None:
    text = page(atlas((), wrong=0, confusion=None, pairs=()), tmp_path)
    assert "No row is wrong" in text


def test_ten_classes_of_twenty_large_samples_stay_below_fifteen_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (3, 380, 380)).astype(np.uint8)  # noise: nothing compresses worse
    sound = rng.integers(-9999, 9999, 10_000).astype(np.int16)
    media = Media(photo, wave=sound, sample_rate=8000, seconds=10.0)
    maps = rng.normal(size=(2, 400, 400)).astype(np.float32)
    heat = Heat(maps[0], "m", "s", passes=True, untrained=maps[1])
    names = tuple(f"class {i}" for i in range(10))
    assert len(page(atlas(names, 20, media=media, heat=heat), tmp_path)) < 15_000_000


def test_a_table_of_all_errors_is_bounded_and_fair() -> None:
    errors = errors_of("a", ["b"], 5000) + errors_of("b", ["a"], 30)
    found = in_turn(errors, MOST_LISTED)
    assert len(found) == MOST_LISTED
    assert sum(error.group == "b" for error in found) == 30
    assert [error.place for error in found if error.group == "a"] == list(range(MOST_LISTED - 30))


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_pictures_keep_their_pixels_or_become_small() -> None:
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    read = Image.open(io.BytesIO(content(picture_uri(pixels, 10_000))))
    assert np.array_equal(np.asarray(read), pixels.transpose(1, 2, 0))
    large = np.random.default_rng(0).integers(0, 256, (3, 300, 300)).astype(np.uint8)
    uri = picture_uri(large, 30_000)
    assert uri.startswith("data:image/jpeg")
    assert len(content(uri)) <= 30_000
    assert len(content(picture_uri(large, 10_000))) < len(content(uri))


def test_sounds_are_wave_files_of_the_same_samples() -> None:
    samples = np.array([0, 1000, -1000, 32767, -32768], np.int16)
    with wave.open(io.BytesIO(content(sound_uri(samples, 8000)))) as read:
        assert (read.getframerate(), read.getnchannels()) == (8000, 1)
        assert np.array_equal(np.frombuffer(read.readframes(5), "<i2"), samples)


def test_heat_is_red_for_and_blue_against_and_clear_at_nothing() -> None:
    read = np.asarray(Image.open(io.BytesIO(content(heat_uri(np.array([[1.0, 0.0, -1.0]], np.float32))))))
    assert read[0, 0, 0] > read[0, 0, 2]
    assert read[0, 2, 2] > read[0, 2, 0]
    assert read[0, 0, 3] == read[0, 2, 3] > 150
    assert read[0, 1, 3] == 0
    assert not scaled_heat(np.zeros(3, np.float32)).any()


def test_low_tones_of_a_spectrogram_are_below() -> None:
    mel = np.full((4, 3), -90.0, np.float32)
    mel[0] = 0.0
    read = np.asarray(Image.open(io.BytesIO(content(mel_uri(mel)))).convert("RGB")).sum(2)
    assert read[-1].min() > read[0].max()


def test_the_csv_is_safe_in_a_spreadsheet() -> None:
    error = Error(0, 1, "=HYPERLINK(1)", "@x", Mistake("k", "s", "+a", "-b"))
    line = errors_csv(atlas(listed=[error])).splitlines()[1]
    assert line == "'=HYPERLINK(1),1,'@x,'+a,'-b,,,"


def test_the_terminal_shows_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    error = Error(0, 1, HOSTILE, HOSTILE, mistake(HOSTILE, HOSTILE))
    Printer().print(errors_table(atlas(listed=[error], groups=(Group(HOSTILE, 1, 2, ()),), notes=(HOSTILE,))))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", capsys.readouterr().out)


def test_numbers_have_differences_and_no_right_and_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [Error(i, i, f"row {i}", "age", Mistake("age 3", "3", "4", "3", loss=1.0)) for i in range(3)]
    found = atlas(
        kind="values", listed=errors, groups=(Group("age", 3, 3, tuple(errors)),), confusion=None, pairs=()
    )
    text = page(found, tmp_path)
    assert "largest differences" in text
    assert 'id="low"' not in text
    Printer().print(errors_table(found))
    assert "largest differences" in capsys.readouterr().out
    assert math.isnan(errors[0].mistake.margin)
