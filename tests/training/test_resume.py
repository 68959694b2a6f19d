"""A run that is killed and resumed ends as one that is not: bit for bit, whatever is configured, wherever it died."""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins import MixedPrecision
from tensorboard.summary.writer import event_file_writer
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.tensorboard_results import ResultViews
from leyden.cli import check
from leyden.cli.main import main
from leyden.data.batch import Batch, Input
from leyden.data.loader import Loader
from leyden.data.sampler import Sequential
from leyden.modules.classification import Classifier
from leyden.runs.run import MARGINS, Run
from leyden.training import recovery, resume
from leyden.training.job import Outcome, train
from leyden.training.resume_check import fault_injection
from leyden.training.resume_check.compare_runs import compare, scalars
from leyden.training.resume_check.fault_injection import MOMENTS, Kill
from leyden.utils.errors import UserError

Tiny = Callable[..., list[str]]
EPOCH = 10  # steps of an epoch of the tiny runs here
OFTEN = "checkpoint_steps=1"


class Killed(BaseException):
    """As sudden as a SIGKILL, but the test goes on."""


@pytest.fixture(autouse=True)
def nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, and waiting for the disk, take longer than the training."""
    monkeypatch.setattr(ResultViews, "write", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    # event files of one second and one process are read in the order of this number as a word: ".10" before ".9"
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(1000))


@pytest.fixture
def short(tiny: Tiny) -> Tiny:
    """As `tiny`, of 2 epochs of 10 steps."""

    def overrides(*more: str) -> list[str]:
        return tiny("data.source.samples=230", "model.net.dropout=0.3", *more)

    return overrides


def die(*_: Any, **options: Any) -> None:
    raise Killed


def kill(overrides: list[str], moment: str, step: int) -> None:
    """Train until it dies at the moment (of `fault_injection.Kill`) of the step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fault_injection, "_die", die)
        for owner, name in ((Path, "replace"), (Run, "finish"), (recovery, "build_trainer")):
            patch.setattr(owner, name, getattr(owner, name))  # what `_arm` replaces comes back
        patch.setattr(resume.PlainCheckpointIO, "save_checkpoint", resume.PlainCheckpointIO.save_checkpoint)
        fault_injection._arm(Kill(moment, step))
        with pytest.raises(Killed):
            train(overrides)


def broken(overrides: list[str], *kills: tuple[str, int]) -> Outcome:
    """Train, killed in each (moment, step) in turn, to the end."""
    for moment, step in kills:
        kill(overrides, moment, step)
    return train(overrides)


def differences(straight: Path, resumed: Path) -> list[str]:
    return [f"{part.name}: {part.difference}" for part in compare(straight, resumed) if part.difference]


# --- what is configured ---

QUICK = [
    ["scheduler=plateau", "scheduler.patience=0", "scheduler.factor=0.5", "trainer.max_epochs=3"],
    ["trainer.accumulate_grad_batches=2", "augment=mixup", "scheduler=cosine"],
    ["trainer.val_check_interval=4"],
]
MORE = [
    ["scheduler=one_cycle", "optimizer=sgd"],
    ["trainer.val_check_interval=1", "logger=tensorboard"],
    ["trainer.max_steps=17"],
    ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.5", "optimizer.fused=false"],
    ["trainer.limit_train_batches=7", "sampling=balanced", "logger=tensorboard"],
    ["optimizer=rmsprop", "scheduler=step", "augment=crop_flip"],
    ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.max_epochs=9"],
]


@pytest.mark.parametrize(
    "options",
    [*QUICK, *(pytest.param(more, marks=pytest.mark.slow) for more in MORE)],
    ids=lambda options: options[0],
)
def test_every_setting_resumes_exactly(short: Tiny, options: list[str]) -> None:
    """Killed twice in one epoch, and between an epoch's end and its checkpoint."""
    straight = train(short(*options)).folder
    end = 7 if "limit_train" in options[0] else EPOCH // (2 if "accumulate" in options[0] else 1)
    kills = [("step", 3), ("backward", 5), ("epoch", end)]
    assert differences(straight, broken(short(*options, OFTEN, "runs=broken"), *kills).folder) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_run_on_a_gpu_resumes_exactly(short: Tiny, precision: str) -> None:
    words = ["trainer=gpu", "trainer.deterministic=true", f"trainer.precision={precision}"]
    straight = train(short(*words)).folder
    resumed = broken(
        short(*words, OFTEN, "runs=broken"), ("step", 3), ("backward", 5), ("epoch", EPOCH)
    ).folder
    assert differences(straight, resumed) == []


def test_the_precision_scaler_goes_on(short: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision is for GPUs; here Lightning's plugin for it, with a scale that doubles every third step."""
    made = recovery.build_trainer

    def scaled(*arguments: Any) -> Trainer:
        trainer = made(*arguments)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)
        return trainer

    monkeypatch.setattr(recovery, "build_trainer", scaled)
    straight = train(short("optimizer.fused=false")).folder
    outcome = broken(short("optimizer.fused=false", OFTEN, "runs=broken"), ("step", 5), ("step", EPOCH + 6))
    assert differences(straight, outcome.folder) == []
    lasts = [
        torch.load(f / "checkpoints" / "last.ckpt", weights_only=False) for f in (straight, outcome.folder)
    ]
    scalers = [last["MixedPrecision"] for last in lasts]
    assert scalers[0] == scalers[1]
    assert scalers[0]["scale"] > 8


class Logs(Classifier):
    """Everything that a user's module may do beside the weights, and that a checkpoint of Lightning's forgets."""

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.accuracy = MulticlassAccuracy(len(self.target_names))
            self.register_buffer("average", torch.zeros(()))

    def configure_optimizers(self) -> Any:
        assert (
            self.trainer.estimated_stepping_batches == 2 * EPOCH
        )  # sets the data up before the state is read
        return super().configure_optimizers()

    def on_train_start(self) -> None:
        torch.rand(3)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.accuracy(self(batch.map_inputs(self.frontend)), batch.targets)
        self.log("own/accuracy", self.accuracy, on_step=False, on_epoch=True)
        self.log("own/loss", loss.detach(), on_step=True, on_epoch=True, batch_size=len(batch.targets))
        self.log("own/most", loss.detach(), on_step=False, on_epoch=True, reduce_fx="max")
        return loss * (1 + 0.1 * torch.rand(()) + 0.1 * random.random())

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.average.lerp_(next(iter(self.net.parameters())).detach().mean(), 0.1)


class Forgets(Classifier):
    """Keeps what matters in a plain attribute."""

    seen = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen += 1
        return super().training_step(batch, batch_idx) / self.seen


def test_a_module_of_ones_own_resumes_with_what_it_logs_counts_and_draws(short: Tiny) -> None:
    """T12 too: a module that asks for estimated_stepping_batches loses no position (Lightning #20550)."""
    own = short("model.module._target_=test_resume.Logs", "logger=tensorboard", "trainer.log_every_n_steps=2")
    straight = train(own).folder
    assert "own/loss_step" in scalars(straight)
    kills = [("step", 4), ("validation", EPOCH), ("step", EPOCH + 6)]
    assert differences(straight, broken([*own, OFTEN, "runs=broken"], *kills).folder) == []


def test_a_module_that_forgets_is_found_out(short: Tiny) -> None:
    forgetful = short("model.module._target_=test_resume.Forgets")
    straight = train(forgetful).folder
    found = differences(straight, broken([*forgetful, OFTEN, "runs=broken"], ("step", 4)).folder)
    assert found[0].startswith("weights, best.ckpt: net.")
    assert "uninterrupted" in found[0]


# --- where it dies ---


def test_it_may_die_at_every_moment(short: Tiny) -> None:
    """One run, killed at each moment there is, on the last batch of an epoch and twice in a step too."""
    straight = train(short("logger=tensorboard", "trainer.log_every_n_steps=3")).folder
    overrides = short("logger=tensorboard", "trainer.log_every_n_steps=3", OFTEN, "runs=broken")
    steps = {"validation": EPOCH, "linking": EPOCH, "epoch": EPOCH, "evaluation": 2 * EPOCH, "result": 20}
    kills = [(moment, steps.get(moment, 1 + i)) for i, moment in enumerate(MOMENTS)]
    kills += [("saving", 5), ("step", EPOCH), ("forward", EPOCH + 1), ("moved", 2 * EPOCH)]
    outcome = broken(overrides, *sorted(kills, key=lambda kill: (kill[1], MOMENTS.index(kill[0]))))
    assert differences(straight, outcome.folder) == []
    names = {path.name for path in outcome.folder.rglob("*") if path.is_file()}
    assert not {name for name in names if name.startswith(".") and name != ".lock"} | (
        names & {"writing.ckpt", "best.link"}
    )
    assert len((outcome.folder / "metrics.csv").read_text().splitlines()) == 3


def test_the_margins_of_training_rows_go_on(short: Tiny) -> None:
    """Rows that are drawn several times, killed within epochs that count: the same sums, in the same order."""
    words = ["sampling=balanced", "long_tail=exponential", "long_tail.ratio=5", "trainer.max_epochs=3"]
    words += ["data.source.samples=400"]
    straight = train(short(*words)).folder
    kills = [("step", EPOCH + 3), ("backward", EPOCH + 7), ("step", 2 * EPOCH + 4)]
    resumed = broken(short(*words, OFTEN, "runs=broken"), *kills).folder
    one, other = (dict(np.load(folder / MARGINS)) for folder in (straight, resumed))
    assert one["draws"].max() > 2
    assert all(np.array_equal(one[name], other[name], equal_nan=True) for name in one)


@pytest.mark.parametrize("moment", ["evaluation", "result"])
def test_killed_after_training_it_evaluates_and_does_not_train(
    short: Tiny, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With early stopping, which is over by a decision that no counter shows."""
    options = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optimizer.lr=0.0"]
    options += ["trainer.max_epochs=9", "logger=tensorboard"]
    straight = train(short(*options)).folder
    kill(short(*options, "runs=broken"), moment, 1)
    monkeypatch.setattr(Classifier, "training_step", die)  # whoever trains now dies
    assert differences(straight, train(short(*options, "runs=broken")).folder) == []


def test_killed_before_any_checkpoint_it_starts_again(short: Tiny) -> None:
    straight = train(short("logger=tensorboard")).folder
    outcome = broken(short("logger=tensorboard", "runs=broken"), ("step", 4))
    assert differences(straight, outcome.folder) == []


def test_the_best_checkpoint_agrees_with_the_state_after_any_kill(
    short: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when last.ckpt is there and best.ckpt is not yet linked, where the epochs to come are no better."""
    monkeypatch.setattr(Checkpoint, "_rank", lambda _, best: (-best["epoch"], 0.0))
    options = ["runs=broken", OFTEN]
    for moment, step in (("linking", EPOCH), ("moved", EPOCH + 1), ("step", EPOCH + 3)):
        kill(short(*options), moment, step)
    best = train(short(*options)).folder / "checkpoints" / "best.ckpt"
    assert torch.load(best, weights_only=False)["global_step"] == EPOCH


# --- what the disk holds ---


def test_a_run_whose_last_state_is_damaged_ends_as_if_nothing_had_happened(
    short: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = train(short("logger=tensorboard")).folder
    overrides = short("logger=tensorboard", "runs=broken", OFTEN)
    kill(overrides, "step", EPOCH + 4)
    (last,) = Path("broken").rglob("last.ckpt")
    os.truncate(last, last.stat().st_size // 2)
    assert differences(straight, train(overrides).folder) == []
    assert "last.ckpt damaged; resuming from the checkpoint before it, step 12" in capsys.readouterr().out


# --- checkpoints within an epoch ---


def test_checkpoints_every_so_many_steps_change_nothing_else(short: Tiny, saved_steps: list[int]) -> None:
    straight = train(short()).folder
    saved_steps.clear()
    often = train(short("checkpoint_steps=4", "runs=often")).folder
    assert saved_steps == [4, 8, 10, 14, 18, 20]
    assert often.name == straight.name
    assert differences(straight, often) == []


def test_the_time_before_a_kill_counts(short: Tiny) -> None:
    outcome = broken(short(OFTEN, "runs=broken"), ("epoch", 2 * EPOCH))
    (last,) = Path("broken").rglob("last.ckpt")
    content = torch.load(last, weights_only=False)
    assert outcome.result["cost"]["seconds"] >= content["callbacks"]["Checkpoint"]["seconds"] > 0.05


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", ["step", "validation"])
def test_asked_to_stop_it_saves_and_goes_on_later(
    short: Tiny, number: int, at: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    straight = train(short()).folder
    name = "training_step" if at == "step" else "validation_step"
    original = getattr(Classifier, name)

    def asked(self: Any, *arguments: Any) -> Any:
        if self.trainer.global_step == (4 if at == "step" else EPOCH):
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, name, asked)
        assert main(["train", *short("runs=broken")]) == 130
    assert "stopping after this step" in capfd.readouterr().out
    (result,) = Path("broken").rglob("result.json")
    assert json.loads(result.read_text())["status"] == "interrupted"
    found = resume.find(result.parent / "checkpoints")
    assert found is not None
    assert found.step == (5 if at == "step" else EPOCH)
    assert main(["train", *short("runs=broken")]) == 0
    assert differences(straight, result.parent) == []


def test_a_second_ctrl_c_leaves_at_once(short: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Classifier.training_step

    def impatient(self: Any, *arguments: Any) -> Any:
        if self.trainer.global_step == 4:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            raise AssertionError("the step went on")
        return original(self, *arguments)

    # a shell starts what runs in the background with the signal ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(Classifier, "training_step", impatient)
    assert main(["train", *short()]) == 130
    signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored
    assert not list(Path("runs").rglob("*.ckpt"))


class Files:
    """A column that takes its time."""

    def gather(self, rows: Tensor) -> Input:
        return Input(rows.float())


def test_a_signal_to_all_processes_kills_no_worker() -> None:
    """Ctrl-C in a terminal, SIGTERM of a cluster."""
    rows = torch.arange(64)
    loader = Loader({"x": Files()}, rows, rows.numpy(), Sequential(64), 4, training=False, workers=1)
    batches = iter(loader)
    next(batches)
    (worker,) = torch.multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        assert worker.pid is not None
        os.kill(worker.pid, number)
    assert len(list(batches)) == 15


# --- what is refused ---


def test_a_fast_dev_run_is_not_recorded_as_a_run(short: Tiny) -> None:
    with pytest.raises(UserError, match="fast_dev_run"):
        train(short("+trainer.fast_dev_run=true"))
    assert not Path("runs").exists()


def test_a_result_goes_before_what_it_tells_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while an earlier try is being removed, no run looks complete."""
    run = Run(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    monkeypatch.setattr("shutil.rmtree", die)
    with pytest.raises(Killed):
        run.clear()
    assert not (tmp_path / "result.json").exists()


# --- real processes, real SIGKILLs ---


def test_check_resume_proves_it(short: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "resume", *short("logger=tensorboard"), "--kills=2"]) == 0
    printed = capfd.readouterr().out
    assert printed.count("killed at step") == 2
    assert "limited for the check: trainer.limit_train_batches=12" in printed
    assert "this configuration resumes exactly" in printed
    assert not Path("runs").exists()


@pytest.mark.slow
def test_check_resume_names_the_first_difference(short: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    forgetful = short("model.module._target_=test_resume.Forgets")
    assert main(["check", "resume", *forgetful, "--kills=1", "--seed=3"]) == 1
    printed = capfd.readouterr().out
    assert "it does not resume exactly: weights, best.ckpt: net." in printed
    assert "uninterrupted" in printed


class Breaks(Classifier):
    """Cannot be resumed at all."""

    def on_load_checkpoint(self, checkpoint: Any) -> None:
        raise RuntimeError("no way back")


@pytest.mark.slow
def test_check_resume_does_not_hide_a_run_that_fails(short: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    """Tried once more it would start again, and end like the uninterrupted one."""
    words = short("model.module._target_=test_resume.Breaks")
    assert main(["check", "resume", *words, "--kills=2"]) == 1
    assert "no way back" in capfd.readouterr().out


def test_a_check_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'resume'"):
        check.main(["resme"])
    with pytest.raises(UserError, match="above 0"):
        check.main(["resume", "--kills=0"])


@pytest.mark.slow
def test_two_ranks_resume_with_random_numbers_of_their_own(tiny: Tiny, tmp_path: Path) -> None:
    """Of texts of unequal lengths two ranks draw unequally many numbers for dropout (2 processes, gloo)."""
    options = ["data=planted_text", "model=lstm", "trainer=ddp_cpu", "trainer.devices=2", "batch_size=16"]
    base = [*options, "data.source.samples=240", "threads=1", "trainer.max_epochs=2", "logger=tensorboard"]
    log = tmp_path / "log"
    assert fault_injection.train([*base, "runs=straight"], log) == 0, log.read_text()
    for moment, step in (("step", 4), ("saving", 7), ("validation", 10)):
        assert (
            fault_injection.train([*base, "runs=broken", OFTEN], log, Kill(moment, step))
            == fault_injection.KILLED
        )
    assert fault_injection.train([*base, "runs=broken"], log) == 0, log.read_text()
    folders = [next(Path(runs).rglob("result.json")).parent for runs in ("straight", "broken")]
    assert differences(*folders) == []
