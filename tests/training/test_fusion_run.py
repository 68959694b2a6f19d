"""Runs on rows with several inputs from end to end: trained, measured by subsets, predicted, taken over, resumed."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from leyden import load
from leyden.cli.main import main
from leyden.inference.evaluate import evaluate
from leyden.reporting.comparison.compare import compare
from leyden.reporting.fused_runs import fused_run
from leyden.training.job import train
from leyden.utils.errors import UserError

QUICK = ["trainer=cpu", "trainer.max_epochs=2", "batch_size=32", "threads=1", "logger=none"]
NARROW = [
    *("model.encoders.image.net.widths=[8,16]", "model.encoders.text.net.hidden=16"),
    "model.encoders.audio.net.widths=[4,8]",
]
PLANTED = ["experiment=planted_fusion", "data.source.samples=360", *NARROW, *QUICK]
SETS = ["image", "text", "audio", "image text", "image audio", "text audio", "image text audio"]


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("model", ["fusion", "fusion_concat", "fusion_gated", "fusion_attention"])
def test_a_run_says_what_each_subset_of_inputs_answers(model: str) -> None:
    outcome = train([*PLANTED, "data.source.absent=0.2", f"model={model}", "model.net.auxiliary=0.3"])
    found = outcome.result["inputs"]
    assert [" ".join(subset["inputs"]) for subset in found["subsets"]] == SETS
    whole = found["subsets"][-1]
    test = outcome.result["metrics"]["test"]
    assert whole["n"] == test["n"] == 72
    assert whole["values"] == test["values"]
    assert all(subset["n"] < 72 for subset in found["subsets"][:3])
    single = next(s for s in found["subsets"] if s["inputs"] == [found["best_single"]])
    assert single["values"]["accuracy"]["value"] == max(
        s["values"]["accuracy"]["value"] for s in found["subsets"][:3]
    )
    assert found["adds"]["low"] <= found["adds"]["value"] <= found["adds"]["high"]
    again = evaluate(Path(outcome.folder), [], ("test",))["test"]
    assert again["values"] == test["values"]


def test_values_and_labels_are_fused_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [["name", "x", "y", "kind", "tags", "amount"]]
    for i in range(90):
        x, y = rng.normal(size=2)
        numbers = [f"{x:.3f}" if i % 5 else "", f"{y:.3f}"]
        rows.append([f"text {i % 7}", *numbers, "uv"[i % 2], "big" if x > 0 else "", f"{x + y:.3f}"])
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    table = [
        "data=multimodal_table",
        "data.source.csv=rows.csv",
        "data.source.text=name",
        "data.source.numbers=[x,y]",
    ]
    common = [
        *table,
        "data.source.categories=[kind]",
        "model=fusion",
        "model.encoders.text.net.hidden=8",
        *QUICK,
    ]
    values = train([*common, "task=regression", "data.source.label_column=amount"])
    assert values.result["inputs"]["measure"] == "loss"
    assert values.result["inputs"]["adds"]["low"] is not None
    labels = train([*common, "task=multilabel", "data.source.label_column=tags"])
    assert labels.status == "complete"
    assert [s["inputs"] for s in labels.result["inputs"]["subsets"]] == [
        ["text"],
        ["table"],
        ["text", "table"],
    ]
    (answer,) = load(values.folder).predict({"table": np.array([0.1, np.nan, 1], np.float32)})
    assert np.isfinite(answer["values"]["amount"])


def test_an_encoder_begins_with_the_weights_of_a_run_with_one_input(tmp_path: Path) -> None:
    alone = train([*PLANTED[1:], "data=planted_fusion", "data.source.inputs=[image]", "model=fusion"])
    pictures = [
        "data=planted_images",
        "data.source.samples=120",
        "data.source.size=16",
        "data.source.num_classes=9",
    ]
    one = train([*pictures, "model=cnn", "model.net.widths=[8,16]", *QUICK])
    frozen = ["init.freeze=[net.encoders.image.*]", f"init.encoders.image={one.folder}"]
    outcome = train([*PLANTED, *frozen])
    taken = load(one.folder).run.module.state_dict()
    made = load(outcome.folder).run.module.state_dict()
    nets = {name.removeprefix("net."): value for name, value in taken.items() if name.startswith("net.")}
    assert len(nets) > 10
    for name, value in nets.items():
        assert np.array_equal(made[f"net.encoders.image.{name}"], value), name
    again = train([*PLANTED, "init.freeze=[net.encoders.image.*]", f"init.encoders.image={alone.folder}"])
    assert [line for line in fused_run(again.result).missing() if "init." in line] == []
    taken, made = (load(run.folder).run.module.state_dict() for run in (alone, again))
    encoder = [name for name in taken if name.startswith("net.encoders.image.")]
    assert [name for name in encoder if not np.array_equal(made[name], taken[name])] == []
    with pytest.raises(UserError, match=r"init.encoders.sound: there is no such encoder; .*image"):
        train([*PLANTED, f"init.encoders.sound={one.folder}"])
    assert alone.result.get("inputs") is None


def test_the_report_compares_with_runs_on_each_input_and_their_product(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fused = train([*PLANTED, "trainer.max_epochs=3"])
    capsys.readouterr()
    assert main(["runs", "show", str(fused.folder)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("To compare with a net trained on one input alone: leyden train") == 3
    assert "Product of their answers" not in said
    parts = [train([*PLANTED, f"data.source.inputs=[{name}]"]) for name in ("image", "text")]
    assert main(["report", "runs"]) == 0
    said = capsys.readouterr().out
    assert "'data.source.inputs=[audio]'" in said
    parts.append(train([*PLANTED, "data.source.inputs=[audio]"]))
    (found,) = compare("runs").fused
    assert found.record.folder.name == fused.folder.name
    logs = [np.log(np.load(p.folder / "predictions/test.npz")["probabilities"].astype(float)) for p in parts]
    labels = np.load(fused.folder / "predictions/test.npz")["labels"]
    prior = np.array(fused.result["prior"]["training"])
    product = (sum(logs) - 2 * np.log(prior)).argmax(axis=1)
    assert found.product == pytest.approx(np.mean(product == labels))
    assert found.gain is not None
    assert found.gain.value == pytest.approx(found.whole - found.product)
    assert list(found.missing()) == []
    again = train([*PLANTED[:-1], "trainer.max_epochs=4", "logger=tensorboard"])
    events = EventAccumulator(str(again.folder), size_guidance={"tensors": 0}).Reload()
    in_tensorboard = events.Tensors("test/inputs/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert main(["runs", "show", str(fused.folder)]) == 0
    for said in (" ".join(capsys.readouterr().out.split()), in_tensorboard):
        assert "To compare with" not in said
        assert f"image {found.own('image'):.4f}, text" in said
        assert f"Product of their answers, accuracy: {found.product:.4f}." in said
    assert found.own("text") == parts[1].result["metrics"]["test"]["values"]["accuracy"]["value"]
    train(["experiment=planted_fusion", "data.source.samples=360", *QUICK, "model=majority"])
    capsys.readouterr()
    assert main(["report", "runs", "--markdown", "report.md", "--html", "report.html"]) == 0
    assert "## what fusion adds" in Path("report.md").read_text()


def own_table(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for i in range(80):
        ill = i % 2
        picture = rng.integers(0, 120, (12, 12)).astype(np.uint8)
        picture[3:8, 3:8] = 200 if ill else 20
        Image.fromarray(picture).save(folder / f"{i}.png")
        soundfile.write(folder / f"{i}.wav", rng.integers(-9000, 9000, 900 + i).astype(np.int16), 8000)
        row = {"photo": f"{i}.png", "note": f"word{i % 5} {'cough' if ill else 'fine'}", "voice": f"{i}.wav"}
        row |= {"age": f"{40 + 20 * ill + i % 9}", "site": "ns"[i % 3 // 2], "state": ("well", "ill")[ill]}
        rows.append(
            {name: "" if name != "state" and rng.random() < 0.2 else cell for name, cell in row.items()}
        )
    with (folder / "people.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


OWN = [
    *(
        "data=multimodal_table",
        "data.source.csv=people.csv",
        "data.source.image=photo",
        "data.source.text=note",
    ),
    *("data.source.audio=voice", "data.source.numbers=[age]", "data.source.categories=[site]"),
    *("data.source.label_column=state", "model=fusion", "augment=modality_dropout", *NARROW, *QUICK[:-1]),
]


def test_a_table_of_ones_own_trains_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_table(tmp_path)
    outcome = train([*OWN, "logger=tensorboard"])
    folder = str(outcome.folder)
    assert len(outcome.result["inputs"]["subsets"]) == 15
    capsys.readouterr()
    assert main(["predict", folder, "image=3.png", "text=word1 cough", "age=61", "--format", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    (two,) = load(folder).predict(
        {"image": Path("3.png"), "text": "word1 cough", "table": np.array([61, 0.0])}
    )
    assert one["probabilities"] == pytest.approx(two["probabilities"])
    assert main(["predict", folder, "people.csv", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 81
    rows = np.load(Path(folder) / "predictions" / "test.npz")
    names = [f"people.csv:{row + 2}" for row in rows["rows"]]
    assert main(["predict", folder, "people.csv", "--format", "json", "--top", "2"]) == 0
    answers = json.loads(capsys.readouterr().out)
    said = {a["name"]: dict(zip(a["classes"], a["probabilities"], strict=True)) for a in answers}
    stored = rows["probabilities"][:, 1]
    assert [said[name]["well"] for name in names] == pytest.approx(stored.tolist(), abs=1e-5)
    assert main(["check", "data", *OWN[:8], "--json"]) in (0, 1)
    assert main(["report", "runs"]) == 0


def test_categories_of_other_data_are_those_of_the_run_by_name(tmp_path: Path) -> None:
    def write(name: str, sites: str) -> None:
        rows = [["site", "x", "label"], *([site, "1", "ab"[site in "nw"]] for site in sites)]
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)

    write("rows.csv", "nswe" * 40)
    write(
        "other.csv", "sse"
    )  # s is the second of these, and the third of the run's, whose second has another label
    words = ["data=multimodal_table", "data.source.csv=rows.csv", "data.source.numbers=[x]"]
    words += [
        "data.source.categories=[site]",
        "model=fusion",
        *QUICK,
        "trainer.max_epochs=15",
        "optimizer.lr=0.02",
    ]
    outcome = train(words)
    assert outcome.result["metrics"]["test"]["values"]["accuracy"]["value"] == 1.0
    found = evaluate(Path(outcome.folder), ["data.source.csv=other.csv"], ())
    assert found["test"]["values"]["accuracy"]["value"] == 1.0
    with pytest.raises(UserError, match="the run reads the numbers x and the categories site"):
        evaluate(Path(outcome.folder), ["data.source.csv=other.csv", "data.source.numbers=[]"], ())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["foo=1"], "foo= is no input of this run"),
        (["3.png"], r"3.png: this run has the inputs .*image=\.\.\."),
        (["image=none.png"], "none.png"),
        (["age=old"], "age=old: expected a number"),
        (["image="], "has none of the inputs"),
    ],
)
def test_a_sample_that_cannot_be_read_is_refused(
    words: list[str], message: str, fused: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(fused), *words]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(message, said), said


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    own_table(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return (folder / train([*OWN, "logger=none"]).folder).resolve()


def test_an_input_that_tells_nothing_is_said_to_be_ignored(tmp_path: Path) -> None:
    rows = [["note", "x", "label"], *([f"word{i % 2}", "1", "ab"[i % 2]] for i in range(200))]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    words = [
        "data=multimodal_table",
        "data.source.csv=rows.csv",
        "data.source.text=note",
        "data.source.numbers=[x]",
    ]
    outcome = train(
        [*words, "model=fusion", "model.encoders.text.net.hidden=8", *QUICK, "trainer.max_epochs=8"]
    )
    ignored = [f for f in outcome.result["doctor"] if f["id"] == "input_ignored"]
    assert [f["where"] for f in ignored] == ["table"]
    assert ignored[0]["advice"][0] == "augment=modality_dropout"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["fusion", "fusion_attention"])
def test_a_killed_run_ends_as_an_uninterrupted_one(model: str) -> None:
    assert main(["check", "resume", *PLANTED, "data.source.absent=0.2", f"model={model}"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("model", ["fusion", "fusion_concat"])
def test_ranks_train_whatever_inputs_their_samples_lack(model: str) -> None:
    ranks = ["trainer=ddp_cpu", "trainer.devices=2", "batch_size=4", "data.source.absent=0.6"]
    outcome = train(
        [*PLANTED[:-5], f"model={model}", "trainer.max_epochs=1", "threads=1", "logger=none", *ranks]
    )
    assert outcome.status == "complete"


@pytest.mark.slow
def test_planted_fusion_needs_any_two_of_its_inputs() -> None:
    outcome = train(["experiment=planted_fusion", "trainer=cpu", "threads=1", "logger=none"])
    accuracy = {
        len(s["inputs"]): s["values"]["accuracy"]["value"] for s in outcome.result["inputs"]["subsets"]
    }
    assert accuracy[3] >= 0.98
    assert accuracy[2] >= 0.98
    assert accuracy[1] < 0.45
