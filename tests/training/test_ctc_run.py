"""Runs of task=ctc from end to end: trained, killed and resumed, evaluated, predicted; rows that cannot be learned."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from leyden import load
from leyden.cli.main import main
from leyden.data.sources.planted_speech import PlantedSpeech
from leyden.data.targets import describe_target
from leyden.inference.evaluate import evaluate
from leyden.interpretation.atlas import errors_of_run
from leyden.training.job import train
from leyden.utils.errors import UserError

SMALL = ["widths=[12,12]", "hidden=12"]


@pytest.fixture
def overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return [
        *("experiment=planted_ctc", "data.source.samples=120", "data.source.max_words=2", "batch_size=16"),
        *("trainer=cpu", "threads=1", "trainer.max_epochs=2", "logger=none"),
        *(f"model.net.{word}" for word in SMALL),
    ]


def test_a_run_is_evaluated_stored_and_predicts(overrides: list[str], tmp_path: Path) -> None:
    outcome = train([*overrides, "data.source.min_words=0"])
    assert outcome.status == "complete"
    test = outcome.result["metrics"]["test"]
    assert set(test["values"]) == {"wer", "cer", "string_error"}
    assert test["normaliser"] == "lower"
    assert np.isfinite(test["loss"])
    with np.load(Path(outcome.folder) / "predictions" / "test.npz") as stored:
        assert len(stored["rows"]) == len(stored["targets"]) == len(stored["predicted"]) == test["n"]
    found = evaluate(Path(outcome.folder), [], ())
    assert found["test"]["values"] == test["values"]
    model = load(outcome.folder)
    wave = np.random.default_rng(0).normal(0, 0.05, 8000).astype(np.float32)
    (answer,) = model.predict(wave)
    assert isinstance(answer["text"], str)
    soundfile.write(tmp_path / "a.wav", wave, 8000)
    assert main(["predict", str(outcome.folder), "a.wav"]) == 0
    for style in ("table", "csv", "json"):
        assert main(["predict", str(outcome.folder), "a.wav", "--words", "--format", style]) == 0
    assert main(["report", "runs"]) == 0


def test_pieces_of_words_are_learned_decoded_and_evaluated_on_other_data(overrides: list[str]) -> None:
    words = ["task.target.units=bpe", "task.target.pieces=30"]
    outcome = train([*overrides, *words])
    names = json.loads((Path(outcome.folder) / "spec.json").read_text())["target_names"]
    assert len(names) == 31
    assert any(len(name) > 2 for name in names)
    assert np.isfinite(outcome.result["metrics"]["test"]["loss"])
    own = evaluate(Path(outcome.folder), [], ())["test"]
    assert own["values"] == outcome.result["metrics"]["test"]["values"]
    other = evaluate(Path(outcome.folder), ["data.source.seed=7", "data.source.samples=30"], ())["test"]
    assert (other["n"], other["words"]["n"] > 0) == (30, True)
    with pytest.raises(UserError, match=r"task\.target\.pieces=3: fewer than"):
        train([*overrides, "task.target.units=bpe", "task.target.pieces=3"])


def test_errors_are_ordered_by_rate_and_have_their_edits_marked(
    overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = train([*overrides, "trainer.max_epochs=1"])
    atlas = errors_of_run(outcome.folder, "test")
    pairs = outcome.result["metrics"]["test"]["confused_words"]
    assert [times for _, times in atlas.pairs] == [pair["n"] for pair in pairs[:10]]
    assert "left out" in atlas.pairs[0][0]
    assert (atlas.confusion, sum(group.rows for group in atlas.groups)) == (None, atlas.rows)
    for name in dict.fromkeys(error.group for error in atlas.listed):
        rates = [error.mistake.loss for error in atlas.listed if error.group == name]
        assert rates == sorted(rates, reverse=True)
    assert main(["errors", str(outcome.folder), "--split", "test", "--csv", "e.csv", "--html", "e.html"]) == 0
    assert "WER" in Path("e.csv").read_text().splitlines()[0].split(",")
    assert "[-" in Path("e.html").read_text()
    assert main(["errors", str(outcome.folder)]) == 0
    assert "worst by WER" in capsys.readouterr().out


def test_two_runs_are_compared_on_the_same_recordings(overrides: list[str]) -> None:
    one, two = (train([*overrides, f"trainer.max_epochs={epochs}"]) for epochs in (1, 2))
    found = errors_of_run(one.folder, "test", against=two.folder).against
    assert found is not None
    assert found.wer is not None
    rates = [run.result["metrics"]["test"]["values"]["wer"]["value"] for run in (two, one)]
    assert found.wer.value == pytest.approx(rates[0] - rates[1])
    assert "WER there less WER here" in found.words()[-1]


def test_runs_with_other_units_are_compared_by_their_texts(overrides: list[str], tmp_path: Path) -> None:
    source = PlantedSpeech(samples=60, max_words=2)
    index, lines = source.index(), ["path,text,split"]
    for row, target in enumerate(index.targets):
        soundfile.write(tmp_path / f"{row}.wav", source.decode(row), 8000)
        said = describe_target(target, index.target_names)
        lines.append(f"{row}.wav,{said},{('train', 'train', 'train', 'train', 'val', 'test')[row // 10]}")
    (tmp_path / "a.csv").write_text("\n".join(lines))
    read = ["data=speech_manifest", "data.source.csv=a.csv", "data.source.split_column=split"]
    rest = [word for word in overrides if not word.startswith("data.source")]
    words = [*(word for word in rest if "experiment" not in word), "task=ctc", "model=speech_gru", *read]
    one, two = (
        train([*words, "trainer.max_epochs=1", f"task.target.units={units}"]).folder
        for units in ("characters", "words")
    )
    found = errors_of_run(one, "test", against=two).against
    assert found is not None
    assert found.rows == 10


def test_tensorboard_draws_plays_and_marks_transcripts(overrides: list[str]) -> None:
    words = [*(word for word in overrides if word != "logger=none"), "logger.tensorboard.detail=full"]
    folder = train(words).folder
    shown = EventAccumulator(str(folder), size_guidance={"images": 0, "audio": 0, "tensors": 0})
    shown.Reload()
    tags = shown.Tags()
    assert {"8 val by epoch/samples", "7 first batch/train"} <= set(tags["images"])
    tables = [tag for tag in tags["tensors"] if tag.startswith("test/errors/") and tag.count("/") == 3]
    assert tables
    for tag in tables:
        (event,) = shown.Tensors(tag)
        text = event.tensor_proto.string_val[0].decode()
        assert "| row | WER | edits |" in text
        assert "[-" in text
        assert tag.removesuffix("/text_summary") in tags["images"]
    assert any(tag.startswith("test/errors/") and "[-" in tag for tag in tags["audio"])


def test_rows_that_cannot_be_spelt_are_named_before_the_first_step(
    overrides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    much = ["model.net.widths=[8,8,8,8]", "data.source.max_words=6"]  # one frame in 16: fewer than letters
    with pytest.raises(
        UserError, match=r"transcripts too long .*sentence \d+ \(needs \d+ frames, has \d+\).*on_bad=skip"
    ):
        train([*overrides, *much])
    assert not (tmp_path / "runs").exists()
    outcome = train([*overrides, *much, "data.on_bad=skip", "trainer.max_epochs=1"])
    assert outcome.status == "complete"
    assert "left out" in capsys.readouterr().out
    spec = json.loads((Path(outcome.folder) / "spec.json").read_text())
    assert 0 < sum(spec["sizes"]) < 120
    assert outcome.result["metrics"]["test"]["n"] == spec["sizes"][2]
    assert np.isfinite(outcome.result["metrics"]["test"]["loss"])
    assert evaluate(Path(outcome.folder), [], ())["test"]["n"] == spec["sizes"][2]


@pytest.mark.parametrize("bad", ["model=logmel_cnn", "task=classification", "decision=macro_f1", "loss=mse"])
def test_parts_of_other_tasks_are_refused_in_one_line(overrides: list[str], bad: str) -> None:
    rest = [word for word in overrides if not (bad == "model=logmel_cnn" and word.startswith("model.net"))]
    with pytest.raises(UserError) as caught:
        train([*rest, bad])
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_killed_run_ends_as_an_uninterrupted_one(overrides: list[str]) -> None:
    assert main(["check", "resume", *overrides]) == 0


@pytest.mark.slow
def test_the_planted_set_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = train(
        ["experiment=planted_ctc", "trainer=cpu", "threads=1", "trainer.max_epochs=6", "logger=none"]
    )
    assert outcome.result["metrics"]["test"]["values"]["wer"]["value"] < 0.03


def test_a_language_model_is_chosen_stored_and_used_again(overrides: list[str]) -> None:
    outcome = train([*overrides, "decision=ctc_beam", "decision.order=2"])
    test, folder = outcome.result["metrics"]["test"], Path(outcome.folder)
    assert set(test["before"]) == {"wer", "cer", "string_error"}
    point = json.loads((folder / "operating_point.json").read_text())
    assert point["language_model"].startswith("\\data\\\nngram 1=")
    assert point["chosen_on"]["after"] <= point["chosen_on"]["before"]
    assert evaluate(folder, [], ("test",))["test"]["values"] == test["values"]
    again = evaluate(folder, ["decision.level=units"], ("test",), decision="ctc_beam")["test"]
    assert again["before"] == test["before"]
