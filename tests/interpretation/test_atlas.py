"""The errors of tiny runs of every modality and task, as the page, the CSV and the terminal get them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leyden.cli.main import main
from leyden.interpretation.atlas import MOST_SHOWN, Wanted, collect
from leyden.interpretation.atlas_samples import _RATE, _SHORTEST, NEIGHBOURS
from leyden.interpretation.predicted import predicted
from leyden.reporting.atlas.atlas import Atlas, Error
from leyden.reporting.atlas.page import page
from leyden.runs.explain_check import ExplainCheck, MethodCheck, Share
from leyden.training.job import train
from leyden.utils.errors import UserError

PICTURES = ("trainer.max_epochs=1",)
TEXTS = ("data=planted_text", "data.source.samples=240", "model=lstm", "trainer.max_epochs=1")
SOUNDS = ("data=planted_audio", "data.source.samples=240", "model=logmel_cnn", "optimizer.lr=1e-6")
TAGS = (
    "task=multilabel",
    "data=planted_tags",
    "data.source.samples=240",
    "model=lstm",
    "trainer.max_epochs=1",
)
ANGLES = ("data=planted_images", "data.source._target_=brightness.Brightness", "task=regression")


@pytest.fixture
def made(tiny: Callable[..., list[str]]) -> Callable[..., Path]:
    """Trains a run, which is not good yet; returns its folder."""

    def make(*words: str) -> Path:
        pictures = any("planted_images" in word for word in words)
        return train([w for w in tiny(*words) if pictures or not w.startswith("data.source.size=")]).folder

    return make


def shown(atlas: Atlas) -> list[Error]:
    return [error for group in atlas.groups for error in group.worst]


def test_pictures(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made("data=planted_images", *PICTURES)
    atlas = collect(folder, Wanted(split="test", each=3, heat=1))
    stored = np.load(folder / "predictions" / "test.npz")
    wrong = stored["predicted"] != stored["labels"]
    assert (atlas.rows, atlas.wrong, len(atlas.listed)) == (len(wrong), wrong.sum(), wrong.sum())
    assert atlas.wrong > 5
    assert all(error.media is not None and error.media.picture is not None for error in shown(atlas))
    for group in atlas.groups:
        p = [error.mistake.probability for error in group.worst]
        assert p == sorted(p, reverse=True)
        assert len(group.worst) <= 3
        assert [error.heat is not None for error in group.worst] == [True, *[False] * (len(group.worst) - 1)]
    first = shown(atlas)[0]
    assert first.heat is not None
    assert first.heat.values.shape == (12, 12)
    assert first.heat.untrained is not None
    assert first.heat.untrained.shape == (12, 12)
    assert not np.allclose(first.heat.untrained, first.heat.values)
    assert repr(first.mistake.answer) in first.heat.scalar
    assert first.heat.passes is not None
    assert len(first.neighbours) == 3
    assert "nearest training row" in first.diagnosis
    for average in atlas.averages:
        own = [
            e.heat.values
            for e in shown(atlas)
            if e.heat and e.heat.passes and e.mistake.answer == average.name
        ]
        assert average.errors == len(own)
        assert average.values is not None
        assert np.allclose(average.values, np.mean(own, axis=0), atol=1e-6)
    assert atlas.averages
    assert "<audio" not in page(atlas, tmp_path)


def test_classes_have_the_names_that_the_run_stored(made: Callable[..., Path]) -> None:
    """Whoever changes spec.json changes what errors and their neighbours are called, and breaks nothing."""
    folder = made("data=planted_images", *PICTURES)
    spec = json.loads((folder / "spec.json").read_text())
    spec["target_names"] = [f"kind {i}" for i in range(len(spec["target_names"]))]
    (folder / "spec.json").write_text(json.dumps(spec))
    errors = shown(collect(folder, Wanted(each=2, heat=0)))
    labels = {near.label for error in errors for near in error.neighbours}
    assert labels <= set(spec["target_names"])
    assert all("nearest training row has" in error.diagnosis for error in errors)


def test_heat_by_a_method_that_failed_its_planted_test_is_not_trusted(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made("data=planted_images", *PICTURES)
    trusted = collect(folder, Wanted(each=1, heat=1))
    assert trusted.method
    none = {
        "pointing": Share(value=0.1),
        "mass": 0.1,
        "untrained_pointing": Share(value=0.1),
        "untrained_mass": 0.1,
    }
    failed = MethodCheck(**none, is_trusted=False, why="it points beside it")
    methods = dict.fromkeys(("integrated_gradients", "occlusion", "grad_cam"), failed)
    ExplainCheck(data="planted_images", rows=100, accuracy=1.0, methods=methods).write(folder)
    atlas = collect(folder, Wanted(each=1, heat=1))
    maps = [error.heat for error in shown(atlas) if error.heat]
    assert any(error.heat.passes for error in shown(trusted) if error.heat)
    assert maps
    assert not any(heat.passes for heat in maps)
    assert all("it points beside it" in heat.verdict for heat in maps)
    assert "not to be trusted" in page(atlas, tmp_path)


def test_texts_have_heat_over_their_tokens(made: Callable[..., Path], tmp_path: Path) -> None:
    atlas = collect(made(*TEXTS), Wanted(each=2, heat=None))
    for error in shown(atlas):
        assert error.media is not None
        assert error.media.text
        assert error.heat is not None
        assert error.heat.untrained is not None
        assert len(error.heat.tokens) == len(error.heat.values) == len(error.heat.untrained)
        assert set(error.heat.tokens) <= set(error.media.text.split())
    assert "<mark" in page(atlas, tmp_path)
    trusted = {error.mistake.answer for error in shown(atlas) if error.heat and error.heat.passes}
    assert {average.name for average in atlas.averages} <= trusted


def test_a_net_without_a_gradient_has_heat_by_occlusion(made: Callable[..., Path]) -> None:
    words = ("data=planted_text", "data.source.samples=240", "model=ngram_lstm", "trainer.max_epochs=1")
    atlas = collect(made(*words), Wanted(each=1, heat=1))
    maps = [error.heat for error in shown(atlas) if error.heat]
    assert len(maps) == len(shown(atlas)) > 0
    assert {heat.method for heat in maps} == {"occlusion"}
    assert not atlas.notes


def test_sounds_can_be_played_and_seen(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(*SOUNDS)
    atlas = collect(folder, Wanted(each=2, heat=1))
    for error in shown(atlas):
        assert error.media is not None
        assert error.media.wave is not None
        assert error.media.mel is not None
        assert len(error.media.wave) / error.media.sample_rate == pytest.approx(error.media.seconds, rel=0.01)
    maps = [error.heat.values for error in shown(atlas) if error.heat]
    assert maps
    assert all(values.ndim == 2 for values in maps)
    assert page(atlas, tmp_path).count("<audio") == (1 + NEIGHBOURS) * len(shown(atlas))
    own = sum(error.media.seconds for error in shown(atlas) if error.media)
    room = own + 1.5 * _SHORTEST * len(shown(atlas))  # seconds: for one neighbour of each
    monkeypatch.setattr("leyden.interpretation.atlas_samples._ALL_SOUNDS", int(2 * _RATE * room))
    few = collect(folder, Wanted(each=2, heat=0))
    assert page(few, tmp_path).count("<audio") == 2 * len(shown(atlas))
    assert all(near.media is None for error in shown(few) for near in error.neighbours[1:])


def test_labels_are_missed_or_added(made: Callable[..., Path], tmp_path: Path) -> None:
    atlas = collect(made(*TAGS), Wanted(each=2, heat=1))
    assert {error.mistake.answer for error in atlas.listed} <= {"yes", "no"}
    assert atlas.confusion is not None
    assert sum(map(sum, atlas.confusion.counts)) == len(atlas.listed)
    assert atlas.wrong == len({error.row for error in atlas.listed})
    heat = [error for error in shown(atlas) if error.heat]
    assert heat
    assert all(error.heat is not None and repr(error.group) in error.heat.scalar for error in heat)
    assert "missed" in page(atlas, tmp_path)


def test_numbers_have_their_largest_differences(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made(*ANGLES, *PICTURES)
    atlas = collect(folder, Wanted(split="test", each=3, heat=1))
    stored = np.load(folder / "predictions" / "test.npz")
    off = np.abs(stored["values"] - stored["targets"])[:, 0]
    assert [error.place for error in atlas.groups[0].worst] == np.argsort(-off, kind="stable")[:3].tolist()
    assert (atlas.confusion, len(atlas.listed)) == (None, 2 * len(off))
    heat = atlas.groups[1].worst[0].heat
    assert heat is not None
    assert heat.scalar == "value of 'contrast'"
    text = page(atlas, tmp_path)
    assert text.count('class="drawn"') == 4  # of each target predicted against actual, residuals


def test_without_its_weights_a_page_is_complete_and_says_so(
    made: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made("data=planted_images", *PICTURES)
    (folder / "checkpoints" / "best.ckpt").unlink()
    assert main(["errors", str(folder), "--html", "e.html"]) == 0
    text = Path("e.html").read_text()
    assert "without heat and nearest training rows" in re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "no best checkpoint" in text
    assert text.count("<article") > 5


def test_a_split_of_many_classes_stays_bounded(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leyden.interpretation.atlas.MOST_SHOWN", 5)
    monkeypatch.setattr("leyden.interpretation.atlas.MOST_GROUPS", 2)
    assert MOST_SHOWN == 600
    atlas = collect(made("data=planted_images", *PICTURES), Wanted(each=20, heat=0))
    assert len(shown(atlas)) <= 5
    assert len(atlas.groups) == 2
    assert atlas.more_groups > 0
    assert len(atlas.listed) > 5


def test_a_split_without_predictions_is_refused(made: Callable[..., Path]) -> None:
    folder = made("data=planted_images", *PICTURES)
    (folder / "predictions" / "val.npz").unlink()
    with pytest.raises(UserError, match="--split test"):
        predicted(folder, "val")
    assert predicted(folder).split == "test"
    with pytest.raises(UserError, match="looks for wrong classes"):
        collect(made(*TAGS), Wanted(suspects=True))
