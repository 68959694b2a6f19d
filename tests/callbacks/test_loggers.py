"""Any logger gets a run's name, folder, choices, metrics, result and findings, once, and is ended with the job."""

import csv
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.loggers import mlflow
from lightning_utilities.core.imports import RequirementCache

import wandb_files
from leyden.callbacks import interrupt, loggers
from leyden.cli.main import main
from leyden.config.compose import compose
from leyden.config.validate import LOGGER_DEFAULTS, check
from leyden.training import fit
from leyden.training.job import train
from recording_logger import Recording

Tiny = Callable[..., list[str]]
OWN = "+logger.own._target_=recording_logger.Recording"


def record(folder: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (folder / "loggers/record.jsonl").read_text().splitlines()]


def interrupted(overrides: list[str], step: int) -> None:
    """Train until Ctrl-C after the step; its state is saved."""

    def ask(self: interrupt.Interrupt, trainer: Any) -> None:
        if trainer.global_step == step:
            self._checkpoint.save(trainer)
            raise interrupt.Interrupted(2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupt.Interrupt, "on_step_done", ask)
        with pytest.raises(KeyboardInterrupt):
            train(overrides)


def test_the_defaults_are_those_that_need_not_be_given() -> None:
    assert (*loggers.defaults(check(compose([])), Path("a")),) == LOGGER_DEFAULTS


def test_lightnings_csv_logger_is_given_all_without_a_word_of_its_own(tiny: Tiny) -> None:
    folder = train(
        tiny("+logger.own._target_=lightning.pytorch.loggers.CSVLogger", "optimizer.lr=0.01")
    ).folder
    place = folder / "loggers" / folder.name / "version_0"
    choices = yaml.safe_load((place / "hparams.yaml").read_text())
    assert choices["optimizer.lr"] == 0.01
    assert choices["data.name"] == "planted_images"
    assert not [key for key in choices if "logger" in key]
    with (place / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val/loss"] for row in rows if row["val/loss"]]
    assert [row["test/accuracy"] for row in rows if row["test/accuracy"]]
    assert not list(Path().glob("lightning_logs"))


def test_a_logger_of_ones_own_goes_on_and_is_sent_nothing_twice(tiny: Tiny) -> None:
    words = tiny(OWN, "trainer.log_every_n_steps=2", "checkpoint_steps=3", "runs=a")
    straight = record(train(tiny(*words, "runs=b")).folder)
    interrupted(words, 5)
    folder = train(words).folder
    found = record(folder)
    assert [line for line in found if line[0] == "made"] == [["made", None], ["made", "one"]]
    assert sum(line[0] == "choices" for line in found) == 1
    sent = Counter(str(line) for line in found if line[0] == "metrics")
    assert sent == Counter(str(line) for line in straight if line[0] == "metrics")
    assert max(sent.values()) == 1
    ends = [line[1] for line in found if line[0] == "end"]
    assert "KILLED" in ends
    assert ends[-1] == "success"
    assert [*loggers._open] == []


def test_points_after_the_last_checkpoint_are_not_sent_again(tiny: Tiny) -> None:
    """Killed in the second epoch, with the state of the first: what follows is trained again, and known there."""
    words = tiny(OWN, "trainer.log_every_n_steps=2")

    def dies(self: interrupt.Interrupt, trainer: Any) -> None:
        if trainer.global_step == 15:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interrupt.Interrupt, "on_step_done", dies)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(words)
    found = record(train(words).folder)
    assert max(Counter(str(line) for line in found if line[0] == "metrics").values()) == 1
    assert ["metrics", 14, ["train/accuracy_step", "train/loss_step"]] in found


def test_trained_again_it_is_a_new_run_of_theirs(tiny: Tiny) -> None:
    train(tiny(OWN))
    found = record(train(tiny(OWN, "force=true")).folder)
    assert [line[1] for line in found if line[0] == "made"] == [None]


def test_a_logger_that_fails_is_said_and_stops_no_training(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Recording, "fails_at", 20)
    assert train(tiny(OWN)).status == "complete"
    assert "logger.own: not logged: ConnectionError: no route" in capsys.readouterr().out


def test_a_failed_job_is_ended_as_failed(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(fit, "TrainedEvaluation", fails)  # after the fit, which Lightning ends as a success
    outcome = train(tiny(OWN))
    assert outcome.status == "failed"
    assert record(outcome.folder)[-1] == ["end", "failed"]


def test_without_the_package_it_is_refused_and_nothing_is_written(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mlflow, "_MLFLOW_AVAILABLE", RequirementCache("mlflow>=999", "no_such_module"))
    assert main(["train", *tiny("logger=[tensorboard,mlflow]")]) == 2
    assert "logger.mlflow: mlflow is not installed; pip install 'leyden[mlflow]'" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_the_options_compose_and_bind() -> None:
    assert [*check(compose(["logger=[tensorboard,mlflow,wandb]"])).logger] == [
        "tensorboard",
        "mlflow",
        "wandb",
    ]


# --- read back from their own files ---

# Lightning sends `epoch` along with every call: the one name that stands twice at a step.
CURVES = {"train/loss", "val/loss", "val/accuracy", "train/loss_step", "lr"}


@pytest.fixture
def sweep(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs of a sweep of three, of which one was interrupted in the first epoch and resumed."""
    for package in ("mlflow", "wandb"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    words = tiny("logger=[mlflow,wandb]", "trainer.log_every_n_steps=2", "optimizer.lr=0.01")
    interrupted([*words, "seed=2"], 5)
    assert main(["train", "-m", *words, "seed=1,2,3"]) == 0
    return Path("runs/default")


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
def test_a_sweep_read_back_from_sqlite_and_from_the_wandb_files(sweep: Path) -> None:
    folders = {path.parent.name: path.parent for path in sweep.glob("*/result.json")}
    assert len(folders) == 3
    mlflow_runs(folders)
    wandb_runs(folders)


def accuracy(folder: Path) -> float:
    found: float = json.loads((folder / "result.json").read_text())["metrics"]["test"]["values"]["accuracy"][
        "value"
    ]
    return found


def mlflow_runs(folders: dict[str, Path]) -> None:
    with sqlite3.connect("runs/mlflow.db") as base:
        runs = base.execute("select run_uuid, name, status from runs").fetchall()
        assert sorted(name for _, name, _ in runs) == sorted(folders)
        for run, name, status in runs:
            assert status == "FINISHED"
            params = dict(base.execute("select key, value from params where run_uuid = ?", (run,)))
            assert params["optimizer.lr"] == "0.01"
            assert {"seed", "batch_size", "model.name", "data.name"} <= {*params}
            points = base.execute(
                "select key, step, value from metrics where run_uuid = ?", (run,)
            ).fetchall()
            assert {key for key, _, _ in points} >= CURVES
            assert max(Counter((key, step) for key, step, _ in points if key != "epoch").values()) == 1
            assert [value for key, _, value in points if key == "test/accuracy"] == [accuracy(folders[name])]
            tags = dict(base.execute("select key, value from tags where run_uuid = ?", (run,)))
            assert tags["mlflow.note.content"]


def wandb_runs(folders: dict[str, Path]) -> None:
    seen = set()
    for name, folder in folders.items():
        attempts = [wandb_files.read(p) for p in sorted(folder.glob("loggers/wandb/offline-run-*/*.wandb"))]
        assert len(attempts) == (2 if "seed=2" in name or "seed2" in name else 1)
        (own,) = {attempt["id"] for attempt in attempts}
        assert {attempt["name"] for attempt in attempts} == {name}
        assert [attempt["exit"] for attempt in attempts][-1] == 0
        assert [attempt["exit"] for attempt in attempts][:-1] == [255] * (len(attempts) - 1)
        rows = [row for attempt in attempts for row in attempt["history"]]
        config = {key: value for attempt in attempts for key, value in attempt["config"].items()}
        assert config["optimizer.lr"] == 0.01
        assert {key for row in rows for key in row} >= CURVES
        points = Counter((row["trainer/global_step"], *sorted(k for k in row if k[0] != "_")) for row in rows)
        assert max(points.values()) == 1
        assert [row["test/accuracy"] for row in rows if "test/accuracy" in row] == [accuracy(folder)]
        assert attempts[-1]["notes"]
        assert not [path for path in folder.rglob("*") if path.is_symlink()]
        seen.add(own)
    assert len(seen) == len(folders)
