"""Which epoch's checkpoint is the best."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leyden.callbacks.checkpoint import Checkpoint


def best_epoch(higher: bool, *epochs: tuple[float, float | None]) -> int:
    """The epoch, from 1, that is best of these (accuracy, loss); loss None: a module that logs none."""
    checkpoint = Checkpoint(Path(), "val/accuracy", higher, minutes=5)
    for epoch, (value, loss) in enumerate(epochs, 1):
        logged = {"val/accuracy": value} if loss is None else {"val/accuracy": value, "val/loss": loss}
        trainer: Any = SimpleNamespace(current_epoch=epoch, global_step=epoch, callback_metrics=logged)
        checkpoint._update_best(trainer)
    return int(checkpoint.best["epoch"])


@pytest.mark.parametrize(
    ("higher", "epochs", "best"),
    [
        (True, [(0.8, 0.5), (0.9, 0.9), (0.8, 0.1)], 2),  # the value comes first
        (False, [(0.8, 0.5), (0.7, 0.9), (0.8, 0.1)], 2),
        (True, [(0.9, 0.5), (0.9, 0.3), (0.9, 0.4)], 2),  # then the loss
        (False, [(0.9, 0.5), (0.9, 0.3), (0.9, 0.4)], 2),
        (True, [(0.9, 0.5), (0.9, 0.5), (0.8, 0.5)], 2),  # then the later
        (True, [(0.9, None), (0.9, None), (0.8, None)], 2),
    ],
)
def test_the_best_epoch(higher: bool, epochs: list[tuple[float, float | None]], best: int) -> None:
    assert best_epoch(higher, *epochs) == best
