"""Two runs on the same rows: what one mended and what it made; and runs that cannot be compared."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leyden.cli.main import main
from leyden.interpretation.atlas import Wanted, collect
from leyden.reporting.atlas.page import page
from leyden.training.job import train
from leyden.utils.errors import UserError

Tiny = Callable[..., list[str]]
DATA = "data=planted_images"


def wrong(folder: Path, split: str) -> dict[int, bool]:
    with np.load(folder / "predictions" / f"{split}.npz") as stored:
        return dict(
            zip(stored["rows"].tolist(), (stored["predicted"] != stored["labels"]).tolist(), strict=True)
        )


def test_rows_are_mended_and_made(tiny: Tiny, tmp_path: Path) -> None:
    one = train(tiny(DATA, "trainer.max_epochs=1")).folder
    two = train(tiny(DATA, "model=linear", "seed=2")).folder
    atlas = collect(one, Wanted(split="test", each=3, heat=0, against=two))
    here, there = wrong(one, "test"), wrong(two, "test")
    assert here.keys() == there.keys()
    found = atlas.against
    assert found is not None
    mended = {row for row in here if here[row] and not there[row]}
    made = {row for row in here if there[row] and not here[row]}
    assert mended
    assert made
    assert {error.row for error in found.mended} == mended
    assert {error.row for error in found.made} == made
    assert found.both == sum(here[row] and there[row] for row in here)
    assert found.difference == pytest.approx((sum(there.values()) - sum(here.values())) / len(here))
    assert found.low < found.difference < found.high
    text = page(atlas, tmp_path)
    assert f"{len(mended)} error" in text
    shown = {error.place for group in atlas.groups for error in group.worst}
    cards = text.count('<article class="error"')
    assert cards == len(shown)
    assert text.count("the other run is right") == len(shown & {error.place for error in found.mended})


def test_the_same_rows_decoded_otherwise_are_matched_by_name(tiny: Tiny) -> None:
    one = train(tiny(DATA, "trainer.max_epochs=1")).folder
    two = train(tiny(DATA, "trainer.max_epochs=1", "data.source.size=14")).folder
    found = collect(one, Wanted(split="test", against=two)).against
    assert found is not None
    assert found.rows == len(wrong(one, "test"))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["split.seed=3"], "are the same by name and target"),
        (["data.source.seed=5"], "are the same by name and target"),
        (["data.source.num_classes=3"], "predicts something else"),
    ],
)
def test_other_rows_and_tasks_are_refused(words: list[str], why: str, tiny: Tiny) -> None:
    one, two = train(tiny(DATA)).folder, train(tiny(DATA, *words)).folder
    with pytest.raises(UserError, match=why) as refused:
        collect(one, Wanted(split="test", against=two))
    assert str(two) in str(refused.value)


def test_numbers_are_neither_right_nor_wrong(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny(
        DATA, "data.source._target_=brightness.Brightness", "task=regression", "trainer.max_epochs=1"
    )
    folder = train(words).folder
    assert main(["errors", str(folder), "--against", str(folder)]) == 2
    assert "numbers are neither" in capsys.readouterr().err
