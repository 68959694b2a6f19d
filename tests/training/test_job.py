"""From a command to a finished run, and what the same command does again."""

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from leyden.callbacks import checkpoint as checkpoints
from leyden.callbacks import interrupt
from leyden.cli.main import main
from leyden.data.datamodule import DataModule
from leyden.modules.classification import Classifier
from leyden.training.job import train
from leyden.training.resume_check.compare_runs import TIMES

Tiny = Callable[..., list[str]]


def test_a_run_leaves_plain_files_and_the_same_call_shows_them(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = train(tiny("logger=tensorboard"))
    assert outcome.status == "complete"
    names = {p.relative_to(outcome.folder).as_posix() for p in outcome.folder.rglob("*") if p.is_file()}
    assert {
        *("config.yaml", "manifest.json", "spec.json", "metrics.csv", "result.json"),
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "predictions/test.npz", "predictions/val.npz"),
    } <= names
    assert any(
        n.startswith("events.out.tfevents") for n in names
    )  # TensorBoard names the run after its folder
    assert not any(n.endswith("hparams.yaml") for n in names)
    assert len((outcome.folder / "metrics.csv").read_text().splitlines()) == 3
    stored = json.loads((outcome.folder / "result.json").read_text())
    assert 0 <= stored["metrics"]["test"]["values"]["accuracy"]["value"] <= 1

    monkeypatch.setattr(Classifier, "training_step", None)  # whoever trains now fails
    again = train(tiny("logger=tensorboard"))
    assert again.result == outcome.result


def test_the_seed_reaches_everything(tiny: Tiny) -> None:
    def history(*more: str) -> str:
        return (train(tiny("augment=crop_flip", *more)).folder / "metrics.csv").read_text()

    first = history()
    assert first == history("runs=again")
    assert first != history("seed=2")


def test_no_state_is_saved_where_it_could_not_be_taken_up(tiny: Tiny, saved_steps: list[int]) -> None:
    train(tiny("checkpoint_minutes=1e-9", "data.source.samples=230", "trainer.accumulate_grad_batches=2"))
    assert saved_steps == [
        *range(1, 11),
        *range(11, 21),
    ]  # the 10th and 20th are the epochs' own, after the validation


@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.parametrize(
    "limits",
    [
        ["trainer.max_steps=11"],
        ["trainer.limit_train_batches=4"],
        ["trainer.limit_train_batches=0.5"],
        ["trainer.limit_train_batches=5", "trainer.accumulate_grad_batches=2"],
        ["trainer.overfit_batches=3"],
    ],
)
def test_a_schedule_ends_where_the_training_ends(
    tiny: Tiny, limits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    original = Classifier.training_step

    def noted(self: Any, *given: Any) -> Any:
        rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return original(self, *given)

    monkeypatch.setattr(Classifier, "training_step", noted)
    train(tiny("scheduler=cosine", "optimizer.lr=1", "monitor=epoch", *limits))
    # the last step of n is done at (1 + cos(pi (n - 1) / n)) / 2 of the rate
    steps = len(set(rates))
    assert rates[-1] == pytest.approx((1 + math.cos(math.pi * (steps - 1) / steps)) / 2)


@pytest.mark.parametrize(
    "options", [["loss=drw", "loss.start=0.5"], ["sampling=deferred_balanced", "sampling.start=0.5"]]
)
def test_what_changes_with_time_changes_within_max_steps(
    tiny: Tiny, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 steps are two epochs: the half of them is one, not ten."""
    planned: list[int] = []
    original = DataModule.training_loader

    def noted(self: Any, epochs: int, *given: Any) -> Any:
        planned.append(epochs)
        return original(self, epochs, *given)

    monkeypatch.setattr(DataModule, "training_loader", noted)
    uneven = ["long_tail=exponential", "long_tail.ratio=3", "allow_stacking=true"]
    outcome = train(tiny("trainer.max_epochs=20", "trainer.max_steps=12", "monitor=epoch", *uneven, *options))
    assert [phase["epochs"] for phase in outcome.result["prior"]["phases"]] == [[0, 0], [1, 1]]
    assert set(planned) == {2}


class _Killed(BaseException):
    """As sudden as a SIGKILL, but the test goes on."""


@pytest.mark.parametrize("at", [3, 9, 11, 19])
def test_a_broken_run_resumes_to_the_same_weights_and_history(
    tiny: Tiny, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 steps an epoch: in mid-epoch, and beside the epoch's end on either side."""
    options = [
        "logger=tensorboard",
        "trainer.log_every_n_steps=3",
        "augment=crop_flip",
        "data.source.samples=230",
        "model.net.dropout=0.3",
        "scheduler=cosine",
    ]
    straight = train(tiny(*options)).folder

    def save_and_die(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == at:
            self.save(trainer)
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoint, "on_train_batch_end", save_and_die)
        with pytest.raises(_Killed):
            train(tiny(*options, "runs=broken"))
    resumed = train(tiny(*options, "runs=broken")).folder
    assert (resumed / "metrics.csv").read_text() == (straight / "metrics.csv").read_text()
    assert_same_weights(straight / "checkpoints" / "last.ckpt", resumed / "checkpoints" / "last.ckpt")
    assert scalars(resumed) == scalars(straight)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every scalar in the event files, by step.

    The files' names end in a number that counts a process's files; TensorBoard reads file 10 before file 9.
    """
    events = EventAccumulator(str(folder)).Reload()
    tags = set(events.Tags()["scalars"]) - set(TIMES)
    found = {tag: sorted((e.step, e.value) for e in events.Scalars(tag)) for tag in tags}
    assert len(found) > 5
    return found


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = (torch.load(p, weights_only=False)["state_dict"] for p in (one, other))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_ctrl_c_saves_and_the_same_command_goes_on(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = train(tiny()).folder

    def ask(self: Any, trainer: Any, *rest: Any) -> None:
        self._signal = signal.SIGINT if trainer.global_step == 4 else self._signal

    with monkeypatch.context() as patch:
        patch.setattr(interrupt.Interrupt, "on_train_batch_end", ask)
        assert main(["train", *tiny("runs=broken")]) == 130
    (folder,) = Path("broken/default").iterdir()
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    assert main(["train", *tiny("runs=broken")]) == 0
    assert (folder / "metrics.csv").read_text() == (straight / "metrics.csv").read_text()


def test_nan_weights_are_never_saved_and_the_run_fails_with_the_reason(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Classifier.training_step

    def poisoned(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if self.trainer.global_step == 13 else loss

    monkeypatch.setattr(Classifier, "training_step", poisoned)
    outcome = train(tiny())
    assert outcome.status == "failed"
    assert "finite" in outcome.result["error"]["message"]
    for name in ("best.ckpt", "last.ckpt"):
        state = torch.load(outcome.folder / "checkpoints" / name, weights_only=False)["state_dict"]
        assert all(v.isfinite().all() for v in state.values())


def test_frozen_parameters_stay_and_taken_weights_arrive(tiny: Tiny) -> None:
    first = train(tiny()).folder
    taken = train(
        tiny(f"init.from={first}", "init.freeze=[net.body.*]", "seed=2", "trainer.max_epochs=1")
    ).folder
    paths = (first / "checkpoints" / "best.ckpt", taken / "checkpoints" / "last.ckpt")
    a, b = (torch.load(p, weights_only=False)["state_dict"] for p in paths)
    assert all(torch.equal(a[name], b[name]) for name in a if name.startswith("net.body."))
    assert not torch.equal(a["net.head.weight"], b["net.head.weight"])


def test_a_frozen_batch_norm_keeps_its_statistics_from_the_first_step_on(tiny: Tiny) -> None:
    cnn = ("model=cnn", "model.net.widths=[8]", "trainer.max_epochs=1")
    first = train(tiny(*cnn)).folder
    taken = train(tiny(*cnn, f"init.from={first}", "init.freeze=[backbone]", "seed=2")).folder
    paths = (first / "checkpoints" / "best.ckpt", taken / "checkpoints" / "last.ckpt")
    a, b = (torch.load(p, weights_only=False)["state_dict"] for p in paths)
    kept = [name for name in a if name.startswith("net.body.")]
    assert any("running_mean" in name for name in kept)
    assert all(torch.equal(a[name], b[name]) for name in kept)


@pytest.mark.parametrize(
    "option",
    [
        *("optimizer=sgd", "optimizer=adamw", "optimizer=rmsprop", "scheduler=step", "scheduler=one_cycle"),
        *(
            "scheduler=plateau",
            "callbacks=early_stopping",
            "augment=mixup",
            "trainer.accumulate_grad_batches=2",
        ),
        *("trainer.gradient_clip_val=0.5", "trainer.precision=bf16-mixed", "model.module.l1=1e-4"),
        *("sampling=balanced", "loss=focal", "monitor=val/loss", "split=kfold"),
    ],
)
def test_every_knob_of_training_trains(tiny: Tiny, option: str) -> None:
    assert train(tiny(option)).status == "complete"


def test_early_stopping_stops(tiny: Tiny) -> None:
    stopping = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_epochs=9"]
    folder = train(tiny(*stopping, "optimizer.lr=0.0")).folder
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3  # header, first, one without progress


def test_a_logger_added_to_a_finished_run_is_said_to_have_no_effect(
    tiny: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny("trainer.max_epochs=1")
    assert main(["train", *words]) == 0
    assert "has no effect" not in capsys.readouterr().out
    assert main(["train", *tiny("trainer.max_epochs=1", "logger=tensorboard")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "logger.tensorboard: has no effect on a finished run" in said
    assert not list(Path("runs").rglob("tensorboard"))
