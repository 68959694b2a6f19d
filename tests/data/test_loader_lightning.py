"""The loader under Lightning's Trainer: the traps T2 to T7 and T11, as Lightning itself springs them."""

import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from leyden.data.batch import Batch, Input
from leyden.data.loader import Loader
from leyden.data.sampler import BucketedOrder, EpochSampler, Order, Sequential
from leyden.data.sampling_policies import Instance, Power

N, BATCH, EPOCHS = 131, 8, 3  # 16 whole batches an epoch, 3 samples over
STOPS = (1, 8, 13, 15, 16, 17, 21, 31, 32, 40)
LABELS = torch.from_numpy(np.random.default_rng(0).choice(3, N, p=[0.8, 0.15, 0.05]))
EVALUATED = 23

# Lightning 2.6 still asks torch for this class; it wins over -W error only as a mark
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


class Columns:
    def gather(self, rows: Tensor) -> Input:
        return Input(rows.float()[:, None])


def order(name: str) -> Order:
    if name == "instance":
        return EpochSampler(LABELS.numpy(), 3, Instance(), 7)
    balanced = EpochSampler(LABELS.numpy(), 3, Power(0.0), 7)
    return balanced if name == "balanced" else BucketedOrder(balanced, np.arange(N), BATCH, 4, 7)


def train_loader(name: str = "instance", **options: Any) -> Loader:
    return Loader({"x": Columns()}, LABELS, np.arange(N), order(name), BATCH, **options)


def evaluation_loader(**options: Any) -> Loader:
    return Loader({"x": Columns()}, LABELS, np.arange(N), Sequential(EVALUATED), 4, training=False, **options)


class Recorder(LightningModule):
    """Keeps the (epoch, rows) of every batch of training, and the rows of every validation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[tuple[int, list[int]]] = []
        self.validated: list[list[int]] = []

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert batch.epoch == self.current_epoch
        self.seen.append((batch.epoch, batch.rows.tolist()))
        return self.layer(batch.input.values).square().mean()

    def on_validation_epoch_start(self) -> None:
        self.validated.append([])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated[-1] += batch.rows.tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-9)


class SaveAt(Callback):
    """Writes a checkpoint after each of these steps; with `stop`, ends training there."""

    def __init__(self, folder: Path, steps: tuple[int, ...], stop: bool = False) -> None:
        self.folder, self.steps, self.stop = folder, steps, stop

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step in self.steps:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")
            trainer.should_stop = self.stop


def fit(loader: Loader, *callbacks: Callback, resume: Path | None = None, **options: Any) -> Recorder:
    module = Recorder()
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": EPOCHS,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "limit_val_batches": 0,
    }
    trainer = Trainer(**{**settings, **options}, callbacks=list(callbacks))
    trainer.fit(module, loader, evaluation_loader(), ckpt_path=resume, weights_only=True)
    return module


def planned(name: str) -> list[tuple[int, list[int]]]:
    """What three epochs must hand out, from the order alone."""
    epochs = [order(name).epoch(e)[: 16 * BATCH].reshape(16, BATCH).tolist() for e in range(EPOCHS)]
    return [(epoch, rows) for epoch, batches in enumerate(epochs) for rows in batches]


@pytest.mark.parametrize("name", ["instance", "balanced", "bucketed"])
def test_resume_is_exact_at_every_step(name: str, tmp_path: Path) -> None:
    """T4, T5 and T6: the remaining batches are those of the run that was not stopped."""
    want = planned(name)
    assert fit(train_loader(name), SaveAt(tmp_path, STOPS)).seen == want
    for stop in STOPS:
        again = fit(train_loader(name), resume=tmp_path / f"{stop}.ckpt")
        assert again.seen == want[stop:], f"stopped at step {stop}"


@pytest.mark.parametrize("stop", [16, 21])
def test_resume_is_exact_with_workers(stop: int, tmp_path: Path) -> None:
    """T3 and T10: the order of the right epoch, and no batch lost that workers had gathered ahead."""
    want = planned("instance")
    stopped = fit(train_loader(workers=2), SaveAt(tmp_path, (stop,), stop=True))
    again = fit(train_loader(workers=2), resume=tmp_path / f"{stop}.ckpt")
    assert stopped.seen + again.seen == want


def test_three_kills_in_one_epoch(tmp_path: Path) -> None:
    """T7."""
    seen, resume = [], None
    for kill in (18, 21, 25):
        seen += fit(train_loader(), SaveAt(tmp_path, (kill,), stop=True), resume=resume).seen
        resume = tmp_path / f"{kill}.ckpt"
    seen += fit(train_loader(), resume=resume).seen
    assert seen == planned("instance")


def test_resume_after_a_whole_epoch_with_validation(tmp_path: Path) -> None:
    class SaveAtEpochEnd(Callback):
        def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / f"epoch{trainer.current_epoch}.ckpt")

    whole = fit(train_loader(), SaveAtEpochEnd(), limit_val_batches=1.0, num_sanity_val_steps=2)
    assert whole.seen == planned("instance")
    assert whole.validated == [list(range(8)), *[list(range(EVALUATED))] * EPOCHS]
    for epoch in range(EPOCHS - 1):
        again = fit(train_loader(), resume=tmp_path / f"epoch{epoch}.ckpt", limit_val_batches=1.0)
        assert again.seen == planned("instance")[16 * (epoch + 1) :]


def test_accumulation_divides_the_batch() -> None:
    module = fit(train_loader(accumulate=2), accumulate_grad_batches=2)
    joined = [
        (epoch, first + second)
        for (epoch, first), (_, second) in zip(module.seen[::2], module.seen[1::2], strict=True)
    ]
    assert joined == planned("instance")
    assert module.trainer.global_step == 48


def test_epochs_cut_short_do_not_shift_the_next() -> None:
    want = [pair for k, pair in enumerate(planned("instance")) if k % 16 < 5]
    assert fit(train_loader(), limit_train_batches=5).seen == want


def ddp(folder: Path, kill: int, resume: Path | None) -> None:
    """One rank of two: the rows it saw go to `folder`. Run as a script, by Lightning too."""
    torch.set_num_threads(1)
    module = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[SaveAt(folder, (kill,), stop=True)] if kill else [],
    )
    torch.manual_seed(trainer.global_rank)  # as after dropout: the ranks' generators have parted
    share = {"rank": trainer.global_rank, "world": trainer.world_size}
    trainer.fit(
        module, train_loader(**share), evaluation_loader(**share), ckpt_path=resume, weights_only=True
    )
    torch.save((module.seen, module.validated), folder / f"seen{kill}-{trainer.global_rank}.pt")


@pytest.mark.slow
def test_two_ranks_train_resume_and_evaluate_exactly(tmp_path: Path) -> None:
    """T1, T2 and T11: Lightning leaves the loader alone; validation (12 and 11 rows) sees a sample once."""
    for kill, resume in ((21, ""), (0, str(tmp_path / "21.ckpt"))):
        subprocess.run([sys.executable, __file__, str(tmp_path), str(kill), resume], check=True, timeout=300)
    ranks = [[torch.load(tmp_path / f"seen{kill}-{rank}.pt") for kill in (21, 0)] for rank in range(2)]
    seen = [stopped[0] + rest[0] for stopped, rest in ranks]
    joined = [(epoch, mine + other) for (epoch, mine), (_, other) in zip(*seen, strict=True)]
    assert joined == planned("instance")
    for mine, other in zip(*(rest[1] for _, rest in ranks), strict=True):
        assert sorted(chain(mine, other)) == list(range(EVALUATED))


if __name__ == "__main__":
    ddp(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None)
