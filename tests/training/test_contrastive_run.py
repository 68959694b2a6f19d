"""Runs of task=contrastive from end to end: trained, stored, evaluated, predicted, reported, killed and resumed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leyden import load
from leyden.cli.main import main
from leyden.inference.evaluate import evaluate
from leyden.training.job import train
from leyden.utils.errors import UserError

CLASSES = ("dark", "bright", "striped")


def write_table(folder: Path) -> Path:
    """120 rows of a picture and a text of the same class; the last twelve lack one of them in turn."""
    rng, lines = np.random.default_rng(0), ["photo,caption,kind"]
    for row in range(120):
        kind = row % 3
        base = np.array([60, 190, 125])[kind] + (kind == 2) * 80 * (-1) ** np.arange(8)
        pixels = np.clip(base + rng.normal(0, 12, (8, 8)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        photo, words = f"{row}.png", f"a {CLASSES[kind]} picture {rng.integers(0, 5)}"
        if row >= 108:
            photo, words = ("", words) if row % 2 else (photo, "")
        lines.append(f"{photo},{words},{CLASSES[kind]}")
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [
        *("task=contrastive", "data=multimodal_table", f"data.source.csv={write_table(tmp_path)}"),
        *("data.source.image=photo", "data.source.text=caption", "data.source.label_column=kind"),
        *("model=dual_encoder", "model@model.encoders.image=mlp", "model.encoders.text.net.hidden=8"),
        *("model.net.width=8", "model.encoders.image.net.hidden=[16]", "optimizer.lr=0.01", "batch_size=16"),
        *("trainer=cpu", "threads=1", "trainer.max_epochs=8", "logger=none"),
    ]


def test_pairs_are_found_stored_evaluated_and_predicted(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train([word for word in overrides if word != "logger=none"])
    assert outcome.status == "complete"
    folder, test = Path(outcome.folder), outcome.result["metrics"]["test"]
    for way in test["retrieval"]:
        assert way["values"]["class_recall_at_1"]["value"] >= 0.9
        assert way["values"]["zero_shot_accuracy"]["value"] >= 0.9
    assert outcome.metrics["test"].values["class_recall_at_1"].low is not None
    with np.load(folder / "predictions" / "test.npz") as stored:
        assert stored["embeddings"].shape == (len(stored["rows"]), 2, 8)
        assert test["n"] == int(stored["embeddings"].any(axis=2).all(axis=1).sum())
    point = json.loads((folder / "operating_point.json").read_text())
    assert np.shape(point["means"]) == (2, 3, 8)
    assert evaluate(folder, [], ("test",))["test"]["values"] == test["values"]
    model = load(folder)
    (picture, pair) = model.predict(
        [{"image": str(tmp_path / "1.png")}, {"image": str(tmp_path / "1.png"), "text": "dark"}]
    )
    assert picture["inputs"]["image"]["classes"] == ["bright"]
    assert picture["inputs"]["text"] is None
    assert picture["inputs"]["image"]["probabilities"] == pytest.approx(
        pair["inputs"]["image"]["probabilities"]
    )
    assert pair["inputs"]["text"]["classes"] == ["dark"]
    assert pair["similarity"] < 0.5
    for style in ("table", "csv", "json"):
        assert main(["predict", str(folder), "text=a striped one", "--top", "2", "--format", style]) == 0
    assert "striped" in capsys.readouterr().out
    (found,) = model.nearest([{"image": str(tmp_path / "1.png")}], [{"text": "dark"}, {"text": "bright"}])
    assert [(said["by"], said["found"]) for said in found] == [("image", "1")]
    capsys.readouterr()
    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    lines.insert(1, ",,dark")  # neither picture nor text: not compared
    (tmp_path / "gallery.csv").write_text("\n".join(lines))
    words = [
        "predict",
        str(folder),
        "image=1.png",
        "--gallery",
        "gallery.csv",
        "--top",
        "2",
        "--format",
        "json",
    ]
    assert main(words) == 0
    (picture,) = json.loads(capsys.readouterr().out)
    assert [said["rank"] for said in picture["nearest"]] == [1, 2]
    assert {place.split(":")[0] for place in (said["found"] for said in picture["nearest"])} == {
        "gallery.csv"
    }
    assert "bright" in lines[int(picture["nearest"][0]["found"].split(":")[1]) - 1]
    assert main(["errors", str(folder)]) == 0
    assert main(["report", "runs"]) == 0
    assert "class_recall_at_1" in capsys.readouterr().out


def test_the_model_is_checked_as_others_are(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["check", "model", *overrides])
    said = capsys.readouterr().out
    assert "outputs (16, 2, 8)" in said
    assert status == 0, said


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("task=classification", "DualEncoder is for task=contrastive"),
        ("model=fusion", "choose model=dual_encoder"),
        ("decision=macro_f1", "is for task=classification"),
        ("loss=cross_entropy", "is for task=classification"),
        ("imbalance=auto", "has no classes to balance"),
        ("monitor=val/accuracy", "monitor=val/accuracy"),
        ("data.source.inputs=[image] data.on_bad=skip", "pairs have two inputs, the data have 1"),
        ("loss.scale=101", "loss.scale"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(overrides: list[str], bad: str, message: str) -> None:
    group = bad.partition("=")[0]
    rest = [w for w in overrides if not w.startswith(("model.net",) if group == "model" else ())]
    with pytest.raises(UserError) as caught:
        train([*(w for w in rest if w.partition("=")[0] != group), *bad.split()])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_killed_run_ends_as_an_uninterrupted_one(overrides: list[str]) -> None:
    assert main(["check", "resume", *overrides, "trainer.max_epochs=2"]) == 0


def training_losses(folder: Path) -> np.ndarray:
    with (folder / "metrics.csv").open(newline="") as file:
        return np.array([float(row["train/loss"]) for row in csv.DictReader(file)])


@pytest.mark.slow
def test_two_ranks_have_the_partners_of_the_whole_batch(overrides: list[str]) -> None:
    """As one process has them: with those of its own alone each rank would choose among 8 instead of 16."""
    words = [*overrides, "trainer.max_epochs=3", "model.encoders.image.net.dropout=0"]
    words.append("model.encoders.text.net.dropout=0")
    one = Path(train([*words, "runs=one"]).folder)
    ranks = ["trainer=ddp_cpu", "trainer.devices=2", "runs=two"]
    two = Path(train([*(word for word in words if word != "trainer=cpu"), *ranks]).folder)
    np.testing.assert_allclose(training_losses(two), training_losses(one), rtol=0, atol=1e-5)
    mine, others = (np.load(folder / "predictions/test.npz") for folder in (one, two))
    order = np.argsort(others["rows"])
    np.testing.assert_allclose(
        others["embeddings"][order], mine["embeddings"][np.argsort(mine["rows"])], atol=1e-4
    )


def test_pairs_without_a_label_column(overrides: list[str], tmp_path: Path) -> None:
    """Only the own partner counts, in the loss and in what is measured; pages and predictions do without classes."""
    words = [*overrides, "data.source.label_column=null", "trainer.max_epochs=2"]
    with pytest.raises(UserError, match=r"monitor=val/class_recall_at_1 is undefined.*val/recall_at_1"):
        train(words)
    with pytest.raises(UserError, match=r"loss\.positives=class: the pairs have no classes"):
        train([*words, "monitor=val/recall_at_1", "loss.positives=class"])
    outcome = train([*words, "monitor=val/recall_at_1"])
    values = outcome.result["metrics"]["test"]["values"]
    assert values["class_recall_at_1"]["value"] is None
    assert values["recall_at_10"]["value"] > 0
    assert evaluate(Path(outcome.folder), [], ("test",))["test"]["values"] == values
    (answer,) = load(outcome.folder).predict([{"image": str(tmp_path / "1.png"), "text": "dark"}])
    assert -1 <= answer["similarity"] <= 1
    with pytest.raises(UserError, match=r"one input alone has no answer: give both .* or --gallery TABLE"):
        load(outcome.folder).predict([{"image": str(tmp_path / "1.png")}])
    both, alone = load(outcome.folder).predict(
        [{"image": str(tmp_path / "1.png"), "text": "dark"}, {"image": str(tmp_path / "1.png")}]
    )
    assert both["similarity"] == pytest.approx(answer["similarity"], abs=1e-6)
    assert alone["similarity"] is None
    assert main(["errors", str(outcome.folder), "--html", "e.html", "--csv", "e.csv"]) == 0
    assert "without heat" in Path("e.html").read_text()
    with pytest.raises(UserError, match=r"label_column=null: .*only task=contrastive does without"):
        train([*(w for w in words if not w.startswith(("task", "model"))), "model=fusion"])


def test_a_page_of_errors_of_pairs_has_no_heat(overrides: list[str]) -> None:
    folder = train([*overrides, "trainer.max_epochs=1"]).folder
    assert main(["errors", str(folder), "--html", "e.html"]) == 0
    assert "without heat: the answer is a cosine of two inputs" in Path("e.html").read_text()
