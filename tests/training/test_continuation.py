"""`continue=RUN trainer.max_epochs=N`: more epochs for a finished run, as a run of its own."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.tensorboard_results import ResultViews
from leyden.cli import check_resume
from leyden.cli.main import main
from leyden.runs.records import read
from leyden.training.job import train
from leyden.training.resume_check.compare_runs import compare, scalars
from leyden.training.setup import open_session
from leyden.utils.errors import UserError

Tiny = Callable[..., list[str]]
EPOCHS = "trainer.max_epochs=4"


@pytest.fixture(autouse=True)
def nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResultViews, "write", lambda _: None)


def differing(one: Path, other: Path) -> list[str]:
    return [part.name for part in compare(one, other) if part.difference]


def rates(folder: Path) -> list[float]:
    return [row["lr"] for row in read(folder).curves()]


def test_it_ends_as_a_run_that_was_longer_from_the_start(tiny: Tiny) -> None:
    """Bit for bit, where no schedule depends on the length: metrics, scalars, weights, predictions, result."""
    options = ["model.net.dropout=0.3", "logger=tensorboard"]
    parent = train(tiny(*options)).folder
    before = {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()}
    child = train([f"continue={parent}", EPOCHS])
    straight = train(tiny(*options, EPOCHS, "runs=straight")).folder
    assert differing(straight, child.folder) == []
    assert len(scalars(child.folder)["1 loss/train"]) == 4
    assert {path: path.read_bytes() for path in parent.rglob("*") if path.is_file()} == before
    names = {folder.name for folder in (parent, child.folder, straight)}
    assert len(names) == 3  # the fingerprint tells a continued run from a straight one
    assert child.result["config"]["continue"] == str(parent)
    assert train([f"continue={parent.name}", EPOCHS]).result == child.result  # shown, not trained again


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_schedules_are_planned_anew(tiny: Tiny, schedule: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny(f"scheduler={schedule}", "optimizer.lr=1e-4")
    parent = train(words).folder
    child = train([f"continue={parent}", EPOCHS]).folder
    assert "goes on from epoch 2" in capsys.readouterr().out
    straight = train([*words, EPOCHS, "runs=straight"]).folder
    assert rates(child)[:2] == rates(parent)
    assert rates(child)[2:] == pytest.approx(rates(straight)[2:])
    assert rates(parent)[1:] != pytest.approx(rates(straight)[1:2])


def test_a_killed_continuation_resumes_with_its_plan(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = train(tiny("scheduler=cosine")).folder
    words = [f"continue={parent}", EPOCHS]
    straight = train([*words, "runs=straight"]).folder
    original = Checkpoint.on_epoch_done

    def killed(self: Checkpoint, trainer: object) -> None:
        original(self, trainer)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_done", killed)
        with pytest.raises(KeyboardInterrupt):
            train(words)
    assert differing(straight, train(words).folder) == []


def test_a_run_that_was_stopped_early_goes_on(tiny: Tiny) -> None:
    early = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer.lr=0.0"]
    parent = train(tiny(*early, EPOCHS)).folder
    assert len(read(parent).curves()) == 2
    child = train([f"continue={parent}", "callbacks=none", EPOCHS])
    assert len(read(child.folder).curves()) == 4


@pytest.mark.parametrize(
    ("parent", "given", "expected"),
    [
        (["checkpoint.keep=best"], [EPOCHS], r"checkpoint.keep=best.*init.from="),
        ([], ["trainer.max_epochs=2"], "it has trained 2 epochs.*trainer.max_epochs=4"),
        (["trainer.max_steps=18"], [EPOCHS], "it has trained 2 epochs.*and a higher trainer.max_steps"),
        ([], [EPOCHS, "optimizer.lr=0.1", "seed=2"], "optimizer.lr, seed must be as it was there"),
        ([], [EPOCHS, "data.source.samples=250"], "data.source.samples, the data must be as it was"),
    ],
)
def test_what_cannot_go_on(tiny: Tiny, parent: Sequence[str], given: Sequence[str], expected: str) -> None:
    folder = train(tiny(*parent)).folder
    with pytest.raises(UserError, match=f"continue={folder}: .*{expected}"):
        train([f"continue={folder}", *given])
    assert len(list(Path("runs/default").iterdir())) == 1


def test_a_check_takes_the_names_of_runs_that_training_takes(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`find`, `check model` and `profile` open a session; `check resume` trains in other processes; data read data."""
    folder = train(tiny()).folder
    session = open_session(tiny("init.from=last"))
    assert session.config.init.source == str(folder)
    assert f"tensors taken from {folder}/checkpoints/best.ckpt" in capsys.readouterr().out
    assert open_session([f"continue={folder.name}", EPOCHS]).config.epochs == 4
    for command in (["data"], ["check", "data"]):
        assert main([*command, f"continue={folder.name}", EPOCHS]) == 0
        assert "240" in capsys.readouterr().out, "the parent's data"
    given: list[str] = []
    monkeypatch.setattr(check_resume, "_check", lambda arguments, *_: given.extend(arguments) or 0)
    assert main(["check", "resume", *tiny("init.from=last")]) == 0
    assert f"init.from={folder}" in given


def test_a_run_that_is_not_there(tiny: Tiny) -> None:
    train(tiny())
    with pytest.raises(UserError, match=r"nowhere: .*no run with this name"):
        train(["continue=nowhere", EPOCHS])


def test_a_finished_run_keeps_its_best_weights_and_its_last_state(tiny: Tiny) -> None:
    kept = {path.name for path in (train(tiny()).folder / "checkpoints").iterdir()}
    assert kept == {"best.ckpt", "best.safetensors", "last.ckpt"}
    best = train(tiny("checkpoint.keep=best", "seed=2")).folder / "checkpoints"
    assert {path.name for path in best.iterdir()} == {"best.ckpt", "best.safetensors"}


def test_a_longer_run_is_told_of_the_shorter_one(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    folder = train(tiny()).folder
    train(tiny("seed=2", EPOCHS))
    assert "has trained" not in capsys.readouterr().out
    assert main(["train", *tiny(EPOCHS)]) == 0
    said = f"{folder} has trained 2 of these epochs; to go on from it instead: leyden train continue={folder} {EPOCHS}"
    assert said in capsys.readouterr().out


def test_epochs_are_those_that_max_steps_leaves(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    """30 steps are two epochs and a half; 18 are two, which a longer run would not exceed."""
    parent = train(tiny("monitor=epoch")).folder
    train([f"continue={parent}", "trainer.max_epochs=20", "trainer.max_steps=30"])
    assert "planned anew, for 3 epochs" in capsys.readouterr().out
    train(tiny("trainer.max_steps=18", "seed=2"))
    train(tiny("trainer.max_steps=18", "seed=2", "trainer.max_epochs=20", "monitor=epoch"))
    assert "has trained" not in capsys.readouterr().out


def test_the_command_of_somebody_elses_run_is_not_repeated_unseen(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may name any code: of a run that one has made oneself it is the signed one that is repeated."""
    words = tiny("trainer.max_epochs=1")
    parent = train(words).folder
    result = json.loads((parent / "result.json").read_text())
    evil = f"split._target_={__name__}.evil"
    (parent / "result.json").write_text(json.dumps({**result, "command": [*result["command"], evil]}))
    again = [f"continue={parent}", "trainer.max_epochs=2"]
    assert train(again).status == "complete", "the manifest's command is that of one's own run"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    with pytest.raises(UserError, match=r"was not made by you.*test_continuation\.evil, or --trust"):
        train([*again, "runs=other"])
    (parent / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match=r"add data=planted_images .*threads=1"):
        train([*again, "runs=other"])
    assert train([*words, *again, "runs=other"]).status == "complete", "all of it was typed"
    assert train([*again, "runs=another"], trust=True).status == "complete"
    assert not Path("called").exists()


@pytest.mark.parametrize("command", ["data", "check data"])
def test_what_is_advised_of_somebody_elses_run_is_taken(
    command: str,
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parent = train(tiny("trainer.max_epochs=1")).folder
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    words = [*command.split(), f"continue={parent}", "trainer.max_epochs=2"]
    assert main(words) == 2
    assert "--trust" in capsys.readouterr().err
    assert main([*words, "--trust"]) == 0


def evil(*_: object) -> None:
    Path("called").touch()


def test_a_parents_link_or_pipe_is_not_copied(tiny: Tiny, tmp_path: Path) -> None:
    parent = train(tiny()).folder
    (tmp_path / "secret").write_text("mine")
    (parent / "events.out.tfevents.1").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=r"tfevents\.1 is a symbolic link"):
        train([f"continue={parent}", EPOCHS])
    (parent / "events.out.tfevents.1").unlink()
    (parent / "signature").unlink()
    os.mkfifo(parent / "signature")
    with pytest.raises(UserError, match="signature is neither a file nor a folder"):
        train([f"continue={parent}", EPOCHS])
