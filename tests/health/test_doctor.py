"""Non-finite values: located at their step and module, and never stored in metrics or checkpoints."""

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from brightness import REGRESSION
from leyden.cli.main import main
from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.health.findings import NonFinite
from leyden.health.output_rules import verify_outputs
from leyden.training.job import attempt
from planting import NETS, modules_of, planted
from words import last_of_each

QUICK = [
    *("data.source.samples=240", "trainer=cpu", "trainer.max_epochs=2", "batch_size=16", "threads=1"),
    "logger=none",
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv."""
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


@pytest.mark.parametrize("modality", NETS)
def test_a_planted_nan_is_located(modality: str, place: Path) -> None:
    words = [*NETS[modality], *QUICK]
    rng = random.Random(modality)
    names = modules_of(words)
    for _ in range(2):
        step, module = rng.randrange(1, 4), rng.choice(names)
        outcome = attempt(planted(words, [step], module), ["leyden", "train"])
        assert outcome.status == "failed", outcome
        (finding,) = outcome.result["doctor"]
        assert (finding["id"], finding["level"], finding["step"]) == ("non_finite", "error", step)
        assert finding["where"].endswith(module), (finding["where"], module)


@pytest.mark.parametrize("modality", NETS)
def test_a_bad_gradient_is_located(modality: str, place: Path) -> None:
    words = [*NETS[modality], *QUICK]
    rng = random.Random(modality)
    names = modules_of(words)
    step, module = 2, rng.choice(names[1:])
    outcome = attempt(planted(words, [step], module, backward=True), ["leyden", "train"])
    (finding,) = outcome.result["doctor"]
    assert finding["step"] == step
    assert "backward" in finding["message"]
    assert finding["where"].endswith(module), (finding["where"], module)


def poisoned(words: list[str], batches: list[int]) -> dict[str, Any]:
    """As `planted`, in the first module."""
    return planted(words, batches, modules_of(words)[0])


def test_guard_skips_bad_steps(place: Path) -> None:
    """Each epoch has one bad batch: it is skipped, batch norm's running statistics stay clean, the run is complete."""
    words = [*NETS["image"], *QUICK, "health=guard", "trainer.max_epochs=3"]
    outcome = attempt(poisoned(words, [3]), ["leyden", "train"])
    assert outcome.status == "complete", outcome.message
    (finding,) = [f for f in outcome.result["doctor"] if f["id"] == "recovered"]
    assert len(finding["evidence"]["skipped"]) == 3
    rows = (outcome.folder / "metrics.csv").read_text().splitlines()
    assert not any("nan" in row for row in rows)
    stored = torch.load(outcome.folder / "checkpoints" / "best.ckpt", weights_only=False)["state_dict"]
    assert all(v.isfinite().all() for v in stored.values() if v.is_floating_point())


def test_guard_stops_where_skipping_does_not_help(place: Path) -> None:
    words = [*NETS["image"], *QUICK, "health=guard"]
    outcome = attempt(poisoned(words, [3, 4, 5, 6, 7]), ["leyden", "train"])
    assert outcome.status == "failed"
    assert outcome.result["doctor"][0]["id"] == "non_finite"


def test_recover_rolls_back_and_excludes_batches(place: Path) -> None:
    words = [*NETS["image"], *QUICK, "health=recover", "health.margin=3", "trainer.max_epochs=3"]
    words += ["checkpoint_steps=2"]
    outcome = attempt(poisoned(words, [5, 6, 7, 8, 9]), ["leyden", "train"])
    assert outcome.status == "complete", outcome.message
    (finding,) = [f for f in outcome.result["doctor"] if f["id"] == "recovered"]
    assert finding["evidence"]["rollbacks"]
    files = {path.name for path in (outcome.folder / "bad_step").iterdir()}
    assert files == {"rank0.pt", "recovery.json"}
    rows = history(outcome.folder)
    rolled_back = [
        event["epoch"] for event in finding["evidence"]["rollbacks"]
    ]  # later ones: shuffling brings bad samples together again
    assert rolled_back[0] == 0
    rates = [0.001 * 0.5 ** sum(epoch <= row for epoch in rolled_back) for row in range(3)]
    assert [float(row["lr"]) for row in rows] == pytest.approx(rates)


@pytest.mark.parametrize("trainer", ["cpu", "ddp_cpu"])
@pytest.mark.parametrize("at", [15, 20])  # within an epoch; on its last step, before the validation
def test_nan_weights_are_never_the_best(
    trainer: str, at: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """95:5 data, weights turn NaN in the second epoch: argmax of NaN is the first class, right in 95 %."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    words = [w for w in [*NETS["image"], *QUICK] if w != "trainer=cpu"]
    words += [f"trainer={trainer}", "data.source.num_classes=2", "data.source.counts=[228,12]"]
    plain = compose(words)
    plain["callbacks"] = {"spoil": {"_target_": "faults.SpoilWeights", "step": at}}
    outcome = attempt(plain, ["leyden", "train"])
    assert outcome.status == "failed"
    (finding,) = outcome.result["doctor"]
    assert (finding["id"], finding["where"]) == ("non_finite", "net.body.0.0.weight")
    assert finding["step"] == at
    checkpoints = sorted((outcome.folder / "checkpoints").glob("*.ckpt"))
    assert {path.name for path in checkpoints} >= {"best.ckpt", "last.ckpt"}
    for path in checkpoints:
        stored = torch.load(path, weights_only=False)
        assert all(v.isfinite().all() for v in stored["state_dict"].values() if v.is_floating_point())
    rows = history(outcome.folder)
    assert outcome.result["best"]["value"] == max(float(row["val/accuracy"]) for row in rows)


def test_doctor_and_replay(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`leyden doctor` prints the finding with a command to paste; `leyden replay` reproduces it."""
    words = ["data=digits", "model=mlp", "optimizer=sgd", "optimizer.lr=1e30", *QUICK[1:]]
    outcome = attempt(compose(words), ["leyden", "train", *words])
    (finding,) = outcome.result["doctor"]
    assert (finding["id"], finding["step"]) == ("non_finite", 1)
    assert re.search(r" \(leyden/nets/image\.py:\d+\)$", finding["message"])  # no folder of this machine
    capsys.readouterr()
    assert main(["doctor", str(outcome.folder)]) == 1
    printed = capsys.readouterr().out
    assert finding["message"] in printed.replace("\n", " ")
    assert "try: leyden train data=digits" in printed
    assert main(["replay", str(outcome.folder)]) == 0
    assert finding["message"] in capsys.readouterr().out.replace("\n", " ")
    assert main(["doctor", str(outcome.folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [finding]


def test_outputs_that_overflow_after_finite_steps(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge = ["optimizer=sgd", "optimizer.lr=1e9", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert main(["train", "data=digits", "model=mlp", "trainer=cpu", "threads=1", "logger=none", *huge]) == 1
    assert "NonFinite: the outputs of 180 of 180 validation samples are not finite" in capsys.readouterr().err
    assert main(["doctor", "last"]) == 1
    said = capsys.readouterr().out
    assert "error: the outputs of 180" in said
    assert "optimizer.lr=1e+08" in said
    assert main(["replay", "last"]) == 0
    assert re.search(r"the output is not finite at step 2 \(epoch 1\): .* produces", capsys.readouterr().out)


def test_recovery_rolls_back_from_outputs_that_overflow(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = ["optimizer=sgd", "optimizer.lr=1e9", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    words = ["data=digits", "model=mlp", "trainer=cpu", "threads=1", "logger=none", "health=recover", *huge]
    assert main(["train", *words, "health.rate_factor=1e-10"]) == 0
    assert "validation samples are not finite at step 2; rolling back to step 0" in capsys.readouterr().out
    (folder,) = Path("runs/default").iterdir()
    assert (folder / "bad_step/rank0.pt").exists()


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (4,)])
def test_outputs_of_any_shape_are_verified(shape: tuple[int, ...], place: Path) -> None:
    config = check(compose(["data=digits", "model=linear"]))
    verify_outputs(torch.zeros(shape), "test", config)
    outputs = torch.zeros(shape)
    outputs[1] = torch.inf
    with pytest.raises(NonFinite, match="the outputs of 1 of 4 test samples are not finite") as caught:
        verify_outputs(outputs, "test", config)
    assert caught.value.findings[0].where == "test"


def test_findings_of_a_stopped_run_are_in_tensorboard(place: Path) -> None:
    """As text, and as a point at the step of the finding."""
    words = ["data=digits", "model=mlp", "optimizer=sgd", "optimizer.lr=1e30", *QUICK[1:-1]]
    outcome = attempt(compose(words), ["leyden", "train", *words])
    assert outcome.status == "failed"
    events = EventAccumulator(str(outcome.folder)).Reload()
    (point,) = events.Scalars("doctor/error/non_finite")
    assert (point.step, point.value) == (1, 1.0)
    (summary,) = events.Tensors("doctor/text_summary")
    text = summary.tensor_proto.string_val[0].decode()
    assert outcome.result["doctor"][0]["message"] in text
    assert "try `leyden train data=digits" in text


LABELS = ["data=planted_tags", "task=multilabel", "model=lstm"]
TASKS = {
    "values": ([*REGRESSION, "model=cnn", "data.source.samples=600", "trainer.max_epochs=4"], {}),
    "values without information": (
        [*REGRESSION, "data.source.noise=true", "model=mlp", "optimizer.lr=1e-4"],
        {"underfitting": "warning"},
    ),
    "values that do not depend on the input": (
        [*REGRESSION, "model=mlp", "model.net._target_=faults.Deaf", "model.net.hidden=[]"],
        {"frozen": "error", "collapsed": "info"},  # the one follows from the other
    ),
    "labels": ([*LABELS, "optimizer.lr=0.02", "trainer.max_epochs=5", "data.source.samples=600"], {}),
    "labels in one epoch": ([*LABELS, "trainer.max_epochs=1"], {"collapsed": "warning"}),
}


@pytest.mark.parametrize("case", TASKS)
def test_what_is_said_of_other_tasks(case: str, place: Path) -> None:
    """Of each task a training that goes well, and one that learns nothing."""
    words, expected = TASKS[case]
    outcome = attempt(compose(last_of_each([*QUICK, *words])), ["leyden", "train"])
    assert outcome.status == "complete", outcome.message
    found = {finding["id"]: finding["level"] for finding in outcome.result["doctor"]}
    assert found.items() >= expected.items()
    assert expected or found == {}


def test_replay_without_snapshot_and_missing_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    healthy = attempt(compose(["data=digits", "model=mlp", *QUICK[1:]]), ["leyden", "train"]).folder
    assert main(["doctor", str(healthy)]) == 0
    assert main(["replay", str(healthy)]) == 2
    assert "has no step snapshot" in capsys.readouterr().err
    for verb in ("doctor", "replay"):
        assert main([verb, "nowhere"]) == 2
        assert "nowhere: there is no such folder, and no run with this name" in capsys.readouterr().err
