"""A run that is killed and resumed ends as one that is not: bit for bit, whatever is configured, wherever it died."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from leyden import build, fit
from leyden.checks.compare import compare
from leyden.train import Outcome, train

Tiny = Callable[..., list[str]]
EPOCH = 10  # steps of an epoch of the tiny runs here
OFTEN = "checkpoint_steps=1"


class Killed(BaseException):
    """As sudden as a SIGKILL, but the test goes on."""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr(fit, "show", lambda *_: None)


@pytest.fixture
def short(tiny: Tiny) -> Tiny:
    """As `tiny`, of 2 epochs of 10 steps."""

    def overrides(*more: str) -> list[str]:
        return tiny("data.source.samples=230", "model.net.dropout=0.3", *more)

    return overrides


class Dies(Callback):
    """Raises `Killed` in a hook, at an optimizer step."""

    def __init__(self, hook: str, step: int) -> None:
        self._step = step
        setattr(self, hook, self._act)

    def _act(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self._step:
            raise Killed


def broken(overrides: list[str], *kills: tuple[str, int]) -> Outcome:
    """Train, killed in each (hook, step) in turn, to the end."""
    made = build.trainer
    for kill in kills:

        def trainer(*arguments: Any, kill: tuple[str, int] = kill) -> Any:
            armed: Any = made(*arguments)
            armed.callbacks.append(Dies(*kill))
            return armed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(build, "trainer", trainer)
            with pytest.raises(Killed):
                train(overrides)
    return train(overrides)


def assert_same(straight: Path, resumed: Path) -> None:
    assert [f"{part.name}: {part.difference}" for part in compare(straight, resumed) if part.difference] == []


IN_STEP, AT_VALIDATION, AT_EPOCH = "on_train_batch_end", "on_validation_batch_end", "on_train_epoch_end"


@pytest.mark.parametrize(
    "options",
    [
        ["schedule=plateau", "schedule.patience=0", "schedule.factor=0.5", "trainer.max_epochs=3"],
        ["schedule=one_cycle", "optimizer=sgd"],
        ["trainer.accumulate_grad_batches=2", "augment=mixup"],
        ["trainer.val_check_interval=4"],
        ["trainer.val_check_interval=1", "logger=tensorboard"],
        ["trainer.val_check_interval=6", "trainer.check_val_every_n_epoch=null"],
        ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4"],
        ["trainer.max_steps=17"],
        ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.5", "optimizer.fused=false"],
        ["trainer.limit_train_batches=7", "sampling=balanced", "logger=tensorboard"],
    ],
    ids=lambda options: options[0],
)
def test_every_setting_resumes_exactly(short: Tiny, options: list[str]) -> None:
    """Killed in a step, twice in one epoch, in a validation, and between an epoch's end and its checkpoint."""
    straight = train(short(*options)).folder
    every = [*options, OFTEN, "runs=broken"]
    kills = [(IN_STEP, 3), (IN_STEP, 6), (AT_EPOCH, 7 if "limit_train" in options[0] else EPOCH)]
    assert_same(straight, broken(short(*every), *kills).folder)
