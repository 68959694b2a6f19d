"""What a training leaves on the terminal."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from leyden.callbacks.progress_bar import ProgressBar
from leyden.cli.main import main
from leyden.training import trainer as trainers
from leyden.training.job import train

Tiny = Callable[..., list[str]]


@pytest.mark.parametrize("terminal", [True, False])
def test_each_epoch_leaves_a_line(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    monkeypatch.setattr(trainers, "console", console)
    left: list[str] = []
    original = ProgressBar._left

    def noted(self: ProgressBar, *given: Any) -> str:
        left.append(original(self, *given))
        return left[-1]

    monkeypatch.setattr(ProgressBar, "_left", noted)
    monkeypatch.setattr("leyden.callbacks.progress_bar._INTERVAL", 0.0)
    train(tiny("trainer.max_epochs=3"))
    lines = re.findall(
        r"epoch (\d)/3  train/loss \d\.\d+  val/loss \d\.\d+  val/accuracy \d\.\d+", out.getvalue()
    )
    assert lines == ["1", "2", "3"]
    assert bool(left) == terminal
    if terminal:
        assert left[0] == ""
        assert re.fullmatch(r"\d.* (s|min) left", left[1])
        assert left[len(left) // 3 - 1] != "0.00 s left"  # at the end of the first of three epochs
        assert left[-1] == "0.00 s left"  # of the run
        assert left[-1] in out.getvalue()


def test_of_many_epochs_some_lines_are_left(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny("trainer.max_epochs=90", "data.source.samples=60", "monitor=epoch", "model=linear"))
    epochs = [int(epoch) for epoch in re.findall(r"^epoch (\d+)/90", capsys.readouterr().out, re.MULTILINE)]
    assert epochs == list(range(3, 91, 3))


def test_an_epoch_that_is_resumed_takes_no_longer_than_the_attempt(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny("trainer.max_epochs=2", "checkpoint_steps=1")
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(words)
    capsys.readouterr()
    train(words)
    seconds = re.findall(r"^epoch 1/2 .* (\d+\.\d) s$", capsys.readouterr().out, re.MULTILINE)
    assert len(seconds) == 1
    assert float(seconds[0]) < 60


def interrupt(*given: Any) -> None:
    if given[-1] == 3:
        raise KeyboardInterrupt


def test_the_settings_printed_are_those_that_differ(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *tiny("trainer.max_epochs=1", "optimizer.lr=0.02")]) == 0
    before = capsys.readouterr().out.partition("epoch 1/1")[0]
    assert "settings that differ from the defaults (--cfg job prints all)" in before
    assert re.search(r"^optimizer.lr +0.02", before, re.MULTILINE)
    assert "checkpoint_minutes" not in before
    assert "weight_decay" not in before
