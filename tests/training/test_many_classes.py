"""More classes than a matrix is kept of: what a run leaves grows with samples and classes."""

import json
from pathlib import Path

import numpy as np
import pytest

from leyden.cli.main import main
from leyden.training.job import Outcome, train

CLASSES = 1200


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run on three short texts of each class, whose answers are nearly all wrong."""
    folder = tmp_path_factory.mktemp("many")
    rows = [f"item w{i % CLASSES} kind{i // CLASSES},c{i % CLASSES:04d}\n" for i in range(3 * CLASSES)]
    (folder / "texts.csv").write_text("text,label\n" + "".join(rows))
    data = ["data=text_table", f"data.source.path={folder / 'texts.csv'}", f"runs={folder / 'runs'}"]
    model = ["model=linear", "model.frontend.buckets=32", "trainer.max_epochs=1", "threads=1", "trainer=cpu"]
    return train([*data, *model])


def test_what_is_kept(outcome: Outcome) -> None:
    sizes = {path.name: path.stat().st_size for path in outcome.folder.rglob("*") if path.is_file()}
    assert max(sizes.values()) < CLASSES * 1500, sizes  # bytes; a matrix has 6 for each of C * C cells
    stored = dict(np.load(outcome.folder / "predictions" / "test.npz"))
    n = len(stored["labels"])
    assert stored["probabilities"].shape == stored["classes"].shape == (n, 21)
    np.testing.assert_array_equal(stored["classes"][:, 0], stored["predicted"])
    np.testing.assert_array_equal(stored["classes"][:, -1], stored["labels"])
    found = json.loads((outcome.folder / "result.json").read_text())["metrics"]["test"]
    assert found["confusion"] == []
    assert 0 < len(found["confusions"]) <= 1000
    assert 0 < found["values"]["auroc"]["value"] < 1
    assert found["values"]["auroc"]["method"] == "none: only 1 sample of a class"
    assert found["values"]["mcc"]["low"] < found["values"]["mcc"]["value"] < found["values"]["mcc"]["high"]


def test_it_is_shown(outcome: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(outcome.folder.parents[1])
    for words in (["runs", runs], ["report", runs], ["runs", "show", str(outcome.folder)]):
        assert main(words) == 0
    shown = capsys.readouterr().out
    assert "with the lowest recall" in shown


def test_the_confusions_are_drawn(outcome: Outcome) -> None:
    events = b"".join(path.read_bytes() for path in Path(outcome.folder).rglob("events.out.*"))
    assert b"test/confusion" in events
    assert b"test/precision-recall" not in events
