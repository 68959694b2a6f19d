"""Somebody's own pictures, texts and recordings, without code, in the layouts of docs/own-data.md."""

import csv
import io
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from leyden.cli.main import main

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_own_data.py"
QUICK = ["trainer=cpu", "trainer.max_epochs=1", "batch_size=8", "threads=1", "logger=none"]
FOLDERS = {
    "image": ["data=image_folder", "data.source.root=my_data/images", "model=mlp"],
    "text": [
        *("data=text_table", "data.source.path=my_data/texts/train.csv"),
        *("data.source.test_path=my_data/texts/test.csv", "model=rnn"),
    ],
    "audio": ["data=audio_folder", "data.source.root=my_data/audio", "model=logmel_cnn"],
}
MANIFESTS = {
    "image": ["data=image_manifest", "data.source.csv=my_data/images.csv", "model=mlp"],
    "text": ["data=text_table", "data.source.path=my_data/texts.csv", "model=rnn"],
    "audio": ["data=audio_manifest", "data.source.csv=my_data/audio.csv", "model=logmel_cnn"],
}
CLASSES = {"image": ["circle", "cross", "square"], "text": ["bad", "good"], "audio": ["falling", "rising"]}
NEW = {
    "image": ["my_data/images/cross/00.png", "my_data/images/square/01.png"],
    "text": ["new.txt"],
    "audio": ["my_data/audio/rising/00.wav", "my_data/audio/falling/01.wav"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "my_data"
    runpy.run_path(str(SCRIPT))["main"]([str(out), "--count", "20"])
    return out


@pytest.fixture(autouse=True)
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with my_data and two new texts."""
    monkeypatch.chdir(tmp_path)
    Path("my_data").symlink_to(made)
    Path("new.txt").write_text(
        "Well, this kettle is useless.\nFor once, the lamp is splendid.\n", encoding="utf-8"
    )


def trained(options: list[str]) -> Path:
    """The folder of the one run there is."""
    assert main(["train", *options, *QUICK]) == 0
    (result,) = Path("runs").rglob("result.json")
    assert json.loads(result.read_text())["status"] == "complete"
    return result.parent


def counted(shown: str) -> dict[str, list[str]]:
    """Class -> its cells in the table of `leyden data`: train, share, %, val, test."""
    return {words[0]: words[1:] for words in map(str.split, shown.splitlines()) if len(words) == 6}


@pytest.mark.parametrize("modality", FOLDERS)
def test_folders_show_train_evaluate_and_predict(modality: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = [o for o in FOLDERS[modality] if not o.startswith("model=")]
    assert main(["data", *data]) == 0
    rows = counted(capsys.readouterr().out)
    assert [name for name in rows if name in CLASSES[modality]] == CLASSES[modality]
    assert all(rows[name][-1] == "4" for name in CLASSES[modality])  # a fifth of 20 is tested

    run = trained(FOLDERS[modality])
    stored = json.loads((run / "result.json").read_text())["metrics"]
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == stored
    assert main(["evaluate", str(run)]) == 0
    assert f"{stored['test']['values']['accuracy']['value']:.4f}" in capsys.readouterr().out
    predictions_agree(run, modality, capsys)


def predictions_agree(run: Path, modality: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, CSV and JSON say the same of new files."""
    asked = ["predict", str(run), *NEW[modality], "--top", "2"]
    assert main([*asked, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    for one in found:
        assert set(one["classes"]) <= set(CLASSES[modality])
        assert one["probabilities"] == sorted(one["probabilities"], reverse=True)
    assert main([*asked, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(r["input"], r["class_1"], r["class_2"]) for r in rows] == [
        (p["name"], *p["classes"]) for p in found
    ]
    assert [float(r["probability_1"]) for r in rows] == pytest.approx(
        [p["probabilities"][0] for p in found], abs=1e-6
    )
    assert main(asked) == 0
    table = capsys.readouterr().out
    for one in found:
        assert f"{one['probabilities'][0]:.4f}" in table
        assert one["classes"][0] in table


@pytest.mark.parametrize("modality", MANIFESTS)
def test_manifests_train_with_the_split_that_they_give(
    modality: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*MANIFESTS[modality], "data.source.split_column=split"]
    run = trained(options)
    sizes = json.loads((run / "spec.json").read_text())["sizes"]
    assert sizes[2] == 4 * len(CLASSES[modality])
    stored = json.loads((run / "result.json").read_text())["metrics"]
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json", "--split", "test"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == stored["test"]


@pytest.mark.parametrize("modality", MANIFESTS)
def test_manifests_keep_groups_whole(modality: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = [o for o in MANIFESTS[modality] if not o.startswith("model=")]
    assert main(["data", *data, "data.source.group_column=author", "split=grouped"]) == 0
    shown = capsys.readouterr().out
    assert "4 groups: ada, ben, cyd, dov" in shown
    rows = counted(shown)
    assert all(rows[name][-1] == "5" for name in CLASSES[modality])  # one of four authors is tested


@pytest.mark.parametrize("ending", [".tsv", ".jsonl"])
def test_other_tables_of_texts_are_the_same_data(ending: str) -> None:
    with Path("my_data/texts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    other = Path(f"texts{ending}")
    with other.open("w", newline="", encoding="utf-8") as file:
        if ending == ".tsv":
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    options = ["data=text_table", "model=rnn", "data.source.split_column=split"]
    results = []
    for path in ("my_data/texts.csv", str(other)):
        run = trained([*options, f"data.source.path={path}"])
        results.append(json.loads((run / "result.json").read_text())["metrics"])
        shutil.rmtree("runs")
    assert results[0] == results[1]


def test_evaluate_measures_all_of_other_data(capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(FOLDERS["image"])
    stored = json.loads((run / "result.json").read_text())["metrics"]

    def measured(root: str, *words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["evaluate", str(run), f"data.source.root={root}", "--json", *words]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    def sizes(root: str, *words: str) -> dict[str, int]:
        return {split: found["n"] for split, found in measured(root, *words).items()}

    shutil.copytree("my_data/images", "moved")
    assert measured("moved") == stored  # the same data elsewhere are split as they were
    classes = ["circle", "cross", "square"]
    for folder in (
        "lacking/circle",
        "lacking/square",
        "one/cross",
        *(f"tested/test/{name}" for name in classes),
    ):
        shutil.copytree(f"my_data/images/{Path(folder).name}", folder)
    Path("lacking/cross").mkdir()
    each = len(list(Path("one/cross").iterdir()))
    assert sizes("lacking") == {"test": 2 * each}
    assert sizes("one") == {"test": each}
    assert sizes("tested") == sizes("tested", "--split", "test") == {"test": 3 * each}
    assert sizes("lacking", "--split", "test")["test"] < each
    supports = {c["name"]: c["n"] for c in measured("lacking")["test"]["per_class"]}
    assert supports == {"circle": each, "cross": 0, "square": each}  # matched by name, not by place
    assert main(["evaluate", str(run), "data.source.root=lacking"]) == 0
    assert f"measured: all {2 * each} rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "column", "cell"), [("multilabel", "tags", "good"), ("regression", "length", "9")]
)
def test_evaluate_measures_small_sets_of_labels_and_values(
    task: str, column: str, cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("my_data/texts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [f'"{row["text"]}",{row["tags"]},{len(row["text"])}\n' for row in rows]
    Path("own.csv").write_text("text,tags,length\n" + "".join(lines), encoding="utf-8")
    Path("few.csv").write_text(f"text,{column}\n" + f"the same text,{cell}\n" * 2, encoding="utf-8")
    run = trained(
        [
            f"task={task}",
            "data=text_table",
            "data.source.path=own.csv",
            f"data.source.label_column={column}",
            "model=rnn",
        ]
    )
    capsys.readouterr()
    assert main(["evaluate", str(run), "data.source.path=few.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"]["n"] == 2  # copies too
    assert main(["evaluate", str(run), "data.source.path=few.csv", "--json", "--split", "test"]) == 2
    assert "no row of 1 is left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("modality", "advice"), [("image", "data.source.size=24"), ("audio", "data.source.sample_rate=8000")]
)
def test_evaluate_says_what_makes_other_inputs_fit(
    modality: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(FOLDERS[modality])
    for name in CLASSES[modality]:
        Path("other", name).mkdir(parents=True)
        if modality == "image":
            Image.new("RGB", (40, 40)).save(f"other/{name}/1.png")
        else:
            soundfile.write(f"other/{name}/1.wav", np.zeros(16000), 16000)
    capsys.readouterr()
    assert main(["evaluate", str(run), "data.source.root=other"]) == 2
    assert advice in capsys.readouterr().err
    assert main(["evaluate", str(run), "data.source.root=other", advice]) == 0


def test_evaluate_names_classes_that_the_run_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(FOLDERS["image"])
    shutil.copytree("my_data/images/circle", "other/circle")
    shutil.copytree("my_data/images/square", "other/sqare")
    each = len(list(Path("other/circle").iterdir()))
    capsys.readouterr()
    assert main(["evaluate", str(run), "data.source.root=other"]) == 2
    said = capsys.readouterr().err
    for words in (f"{each} of {2 * each} rows", "'sqare'", "did you mean 'square'", "data.on_bad=skip"):
        assert words in said
    assert main(["evaluate", str(run), "data.source.root=other", "data.on_bad=skip"]) == 0
    said = capsys.readouterr().out
    assert f"measured: all {each} rows" in said
    assert f"left out {each} rows" in said
