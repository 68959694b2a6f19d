"""Two CPU processes (gloo) train and evaluate as one does: the same batches, the same losses, each sample once."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch.distributed.fsdp import FSDPModule, fully_shard

from leyden.modules.classification import Classifier
from leyden.training.job import train

Tiny = Callable[..., list[str]]
TWO = ("trainer=ddp_cpu", "trainer.devices=2")
# 247 rows: 25 for validation and 49 for testing, so that one rank evaluates a sample more than the other
SAME = ("data.source.samples=247", "model.net.dropout=0")
WHOLE = (
    "{_target_:lightning.pytorch.strategies.ModelParallelStrategy,data_parallel_size:2,tensor_parallel_size:1,"
    "save_distributed_checkpoint:false}"
)


class Sharded(Classifier):
    """Its net's weights, gradients and optimizer state are divided among the ranks (FSDP2)."""

    def configure_model(self) -> None:
        if self.device_mesh is not None and not isinstance(self.net, FSDPModule):
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])


def losses(folder: Path) -> np.ndarray:
    """(epochs, 2): of training and of validation."""
    with (folder / "metrics.csv").open(newline="") as file:
        return np.array([[float(row["train/loss"]), float(row["val/loss"])] for row in csv.DictReader(file)])


def predicted(folder: Path, split: str) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions" / f"{split}.npz") as arrays:
        return dict(arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("trainer.accumulate_grad_batches=2",),
        (f"+trainer.strategy={WHOLE}", "model.module._target_=test_data_parallel.Sharded"),
    ],
    ids=["ddp", "accumulated", "fsdp2"],
)
def test_two_ranks_train_and_evaluate_as_one_process(tiny: Tiny, more: tuple[str, ...]) -> None:
    one = train(tiny(*SAME, "runs=one")).folder
    words = [word for word in tiny(*SAME, "runs=two", *more) if word != "trainer=cpu"]
    two = train([*words, *TWO]).folder
    np.testing.assert_allclose(losses(two), losses(one), rtol=0, atol=1e-5)
    for split in ("val", "test"):
        mine, others = predicted(one, split), predicted(two, split)
        assert len(mine["rows"]) % 2 == 1
        places, theirs = np.argsort(mine["rows"]), np.argsort(others["rows"])
        np.testing.assert_array_equal(others["rows"][theirs], mine["rows"][places])  # each sample once
        np.testing.assert_allclose(others["probabilities"][theirs], mine["probabilities"][places], atol=1e-4)
