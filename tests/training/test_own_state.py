"""Objects that a user's own callback adds to a checkpoint: evaluation needs none, resuming reads them with --trust."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from leyden.cli.main import main
from leyden.inference.evaluate import evaluate
from leyden.training.job import train
from leyden.utils import tensors
from leyden.utils.errors import UserError

Tiny = Callable[..., list[str]]


class Seen:
    """A class of the user's own."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs


class Counts(Callback):
    """Keeps an object in the checkpoint, and one in the checkpoint's own keys."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen, self.stop_after = Seen(0), stop_after

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        self.seen = Seen(self.seen.epochs + 1)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.stop_after:
            raise KeyboardInterrupt

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = state_dict["seen"]
        assert isinstance(self.seen, Seen)

    def on_save_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint["note"] = self.seen


OWN = f"callbacks.counts._target_={__name__}.Counts"


def test_a_run_with_objects_in_its_checkpoint_is_trained_and_evaluated(tiny: Tiny) -> None:
    folder = train(tiny(OWN)).folder
    assert set(evaluate(folder)) == {"val", "test"}
    content = tensors.load(folder / "checkpoints" / "last.ckpt")
    assert tensors.is_packed(content["note"])
    assert tensors.is_packed(content["callbacks"]["Counts"])
    assert not tensors.is_packed(content["callbacks"]["Checkpoint"])


def test_resuming_it_names_the_callback_and_needs_trust(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Counts.__init__, "__defaults__", (1,))
        with pytest.raises(KeyboardInterrupt):
            train(tiny(OWN))
    monkeypatch.setattr(Counts.__init__, "__defaults__", (None,))
    (last,) = Path("runs").rglob("last.ckpt")
    with pytest.raises(UserError, match=r"note in \S+last\.ckpt holds test_own_state\.Seen.*--trust"):
        train(tiny(OWN))
    assert last.exists(), "what is refused is kept"
    assert main(["train", *tiny(OWN)]) == 2
    assert "--trust" in capsys.readouterr().err
    assert main(["train", "--trust", *tiny(OWN)]) == 0
    assert len((last.parents[1] / "metrics.csv").read_text().splitlines()) == 3
    assert train(tiny(OWN), trust=True).status == "complete"
