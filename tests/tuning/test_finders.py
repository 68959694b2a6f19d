"""`leyden find lr` and `batch_size`: suggestions, figures and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leyden.cli.main import main
from leyden.data.typical_batch import median_length_batch
from leyden.training.job import train
from leyden.training.setup import open_session
from leyden.tuning import batch_size_finder, lr_finder
from leyden.tuning.batch_size_finder import BatchMeasurement, suggest
from leyden.utils.errors import UserError

QUICK = ["trainer=cpu", "threads=1"]
TEXT = ["data=planted_text", "data.source.samples=300", "model=lstm", "batch_size=16"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch_size_finder, "_SECONDS", 0.0)
    return tmp_path


# --- the curve ---


def test_steepest_and_lowest_point_of_a_curve() -> None:
    steps = np.arange(100.0)
    fall = 2 - 1.5 / (1 + np.exp(-(steps - 50) / 4))  # fastest at 50
    curve = np.where(steps < 80, fall, fall[79] + (steps - 79) * 0.1)
    assert lr_finder.steepest_and_lowest(curve) == (50, 79)


def test_gaussian_smoothing_does_not_lag() -> None:
    """A running mean of the past would shift a step by its window."""
    step = np.where(np.arange(100) < 50, 2.0, 1.0)
    assert lr_finder.steepest_and_lowest(lr_finder.smooth(step))[0] in (49, 50)
    assert np.allclose(lr_finder.smooth(np.full(30, 1.7)), 1.7)


def test_the_suggestion_has_a_margin_to_divergence() -> None:
    near = lr_finder.RateCurve(np.ones(1), np.ones(1), steepest=0.2, lowest=0.5, now=0.001)
    far = lr_finder.RateCurve(np.ones(1), np.ones(1), steepest=0.003, lowest=0.5, now=0.001)
    assert (near.suggestion, far.suggestion) == (0.05, 0.003)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adamw"])
def test_the_suggested_rate_trains(optimizer: str) -> None:
    """Digits in two epochs: far above chance, where the ends of the range learn nothing."""
    words = ["model=mlp", *QUICK, f"optimizer={optimizer}"]
    found = lr_finder.find(open_session(words))
    assert found.suggestion < found.lowest
    base = [*words, "trainer.max_epochs=2", "logger=none", "runs=runs"]
    reached = {
        rate: train([*base, f"optimizer.lr={rate}"]).metrics["test"].values["accuracy"].value
        for rate in (lr_finder.LOWEST, found.suggestion)
    }
    assert reached[found.suggestion] > 0.7
    assert reached[found.suggestion] > reached[lr_finder.LOWEST] + 0.5


def test_the_range_test_changes_no_weight_and_is_deterministic() -> None:
    session = open_session([*TEXT, *QUICK])
    before = {name: value.clone() for name, value in session.module.state_dict().items()}
    one = lr_finder.find(session)
    assert all(torch.equal(session.module.state_dict()[name], value) for name, value in before.items())
    assert np.array_equal(lr_finder.find(open_session([*TEXT, *QUICK])).losses, one.losses)


def test_a_model_that_does_not_learn_is_refused() -> None:
    with pytest.raises(UserError, match="does not fall at any rate"):
        lr_finder.find(open_session(["model=majority", *QUICK]))


# --- batch sizes ---


def test_the_smallest_of_nearly_the_best() -> None:
    tried = [
        BatchMeasurement(size, speed, 0, 0.0)
        for size, speed in ((8, 100.0), (16, 190.0), (32, 400.0), (64, 380.0), (128, 430.0))
    ]
    assert suggest(tried, samples=100_000) == 32


@pytest.mark.parametrize(("samples", "suggested"), [(160, 8), (320, 16), (700, 32), (159, 7), (19, 1)])
def test_a_suggestion_leaves_twenty_steps_an_epoch(samples: int, suggested: int) -> None:
    """Throughput doubles with the size, so the largest that leaves enough is meant."""
    tried = [BatchMeasurement(size, float(size), 0, 0.0) for size in (8, 16, 32, 64) if size <= samples]
    assert suggest(tried, samples) == suggested
    assert samples // suggested >= min(20, samples)


def test_sizes_end_with_the_samples() -> None:
    found = batch_size_finder.find(open_session([*TEXT, *QUICK]))
    samples = 300 * 7 // 10
    assert [each.size for each in found.tried] == [8, 16, 32, 64, 128]
    assert str(samples) in found.ended
    assert found.suggestion == 8, "210 samples in 16s are 13 steps"
    memory = np.array([each.memory for each in found.tried])
    assert (np.diff(memory) > 0).all()


def test_sizes_end_with_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session([*TEXT, *QUICK])
    (first,) = (batch_size_finder._measure(session, size).memory for size in (32,))
    monkeypatch.setattr(batch_size_finder, "_free_memory", lambda device: int(2.5 * first))
    found = batch_size_finder.find(session)
    assert found.tried[-1].size < 128
    assert "half of the free memory" in found.ended


def test_sizes_end_with_the_gpu_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated on the CPU: the third size is too large."""
    session, real = open_session([*TEXT, *QUICK]), batch_size_finder._measure

    def full(session: Any, size: int) -> BatchMeasurement:
        if size > 16:
            raise torch.cuda.OutOfMemoryError("full")
        return real(session, size)

    monkeypatch.setattr(batch_size_finder, "_measure", full)
    found = batch_size_finder.find(session)
    assert [each.size for each in found.tried] == [8, 16]
    assert found.ended == "a batch of 32 does not fit into the GPU's memory"


def test_weights_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session([*TEXT, *QUICK])
    before = {name: value.clone() for name, value in session.module.named_parameters()}
    batch_size_finder.find(session)
    assert all(torch.equal(value, before[name]) for name, value in session.module.named_parameters())
    assert median_length_batch(session.data, 4).input.values.shape[0] == 4


# --- the command ---


@pytest.mark.parametrize(("what", "override"), [("lr", "optimizer.lr="), ("batch_size", "batch_size=")])
def test_a_line_to_paste_and_a_picture(
    what: str, override: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", what, *TEXT, *QUICK, "init.redraw=[head]", "--picture", "curve.png"]) == 0
    printed = capsys.readouterr().out
    assert "init.redraw=[head]" in printed  # brackets are not taken as markup
    if what == "batch_size":
        assert "steps/epoch" in printed
        assert "8 (26 steps an epoch)" in printed
    (line,) = (line for line in printed.splitlines() if "try: leyden train" in line)
    assert line.count(override) == 1
    assert (place / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in place.iterdir()] == ["curve.png"]  # no run was created


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("lr", "batch_size"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rl"], "did you mean 'lr'"),
        (["lr", "model=cnm"], "cnn"),
        (["lr", "--picture", "curve.gif"], "must end in .png"),
        (["batch_size", "--pictuer", "x.png"], "--picture"),
    ],
)
def test_mistakes(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", *words]) == 2
    assert said in capsys.readouterr().err
