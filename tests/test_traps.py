"""The traps of samplers, ranks, epochs and resume: which test holds which; and the tests that have no other place."""

import ast
import csv
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import RunningStage
from torch import Tensor

from leyden.data.batch import Input
from leyden.data.loader import Loader
from leyden.data.sampler import EpochSampler
from leyden.data.sampling_policies import Instance, Power
from leyden.training.job import train

TESTS = Path(__file__).parent
EPOCH = 10  # steps of an epoch of the tiny run
MULTINOMIAL = 2**24  # categories that torch.multinomial, and so torch's weighted sampler, can tell apart

LOADER, LIGHTNING, RESUME = "data/test_loader.py", "data/test_loader_lightning.py", "training/test_resume.py"
HERE = Path(__file__).name
TRAPS = {
    # Each rank draws its own list from WeightedRandomSampler: samples twice, others never.
    "T1": [
        (LOADER, "test_two_processes_share_an_epoch"),
        (LIGHTNING, "test_two_ranks_train_resume_and_evaluate_exactly"),
    ],
    # Lightning replaces a subclass of RandomSampler: its order and length are lost.
    "T2": [
        (HERE, "test_lightning_leaves_the_loader_as_it_is"),
        (LIGHTNING, "test_two_ranks_train_resume_and_evaluate_exactly"),
    ],
    # The first resumed epoch has epoch 0's order: `iter` comes before `set_epoch` (Lightning #21938).
    "T3": [
        (LOADER, "test_epoch_and_position_are_read_at_the_first_next"),
        (LIGHTNING, "test_resume_is_exact_with_workers"),
    ],
    # A plain DataLoader starts a resumed epoch at its first batch again.
    "T4": [(LIGHTNING, "test_resume_is_exact_at_every_step")],
    # A stateful loader goes on in another permutation than the one it was in.
    "T5": [
        (LIGHTNING, "test_resume_is_exact_at_every_step"),
        (LOADER, "test_resume_is_exact_wherever_it_stops"),
    ],
    # Saved on the last batch of an epoch, the next one is empty.
    "T6": [(LIGHTNING, "test_resume_is_exact_at_every_step"), (RESUME, "test_it_may_die_at_every_moment")],
    # The second kill in one epoch counts from 0.
    "T7": [(LIGHTNING, "test_three_kills_in_one_epoch"), (RESUME, "test_every_setting_resumes_exactly")],
    # torch.multinomial refuses more than 2^24 rows, and is inexact before.
    "T8": [(HERE, "test_more_rows_than_multinomial_can_weigh")],
    # WeightedRandomSampler takes seconds and gigabytes where there are many rows.
    "T9": [
        (HERE, "test_more_rows_than_multinomial_can_weigh"),
        ("data/test_sampler.py", "test_ten_million_labels"),
    ],
    # Batches are counted where workers fetch them, ahead of training.
    "T10": [
        (LOADER, "test_resume_is_exact_wherever_it_stops"),
        (LIGHTNING, "test_resume_is_exact_with_workers"),
    ],
    # DistributedSampler pads an evaluation with repeats.
    "T11": [(LOADER, "test_evaluation_sees_each_sample_once"), (LOADER, "test_two_processes_share_an_epoch")],
    # estimated_stepping_batches loses the position (Lightning #20550); on_train_batch_end is not the end of a step.
    "T12": [(RESUME, "test_a_module_of_ones_own_resumes_with_what_it_logs_counts_and_draws")],
    # Random numbers drawn in a worker depend on how many workers there are.
    "T13": [(LOADER, "test_the_number_of_workers_changes_nothing")],
    # The length of an epoch depends on the sampler, and schedules do not know.
    "T14": [(HERE, "test_a_schedule_ends_with_the_run")],
}


def test_every_trap_has_a_test_that_runs_by_default() -> None:
    assert list(TRAPS) == [f"T{number}" for number in range(1, 15)]
    files = {file for guards in TRAPS.values() for file, _ in guards}
    there = {file: marks_of(TESTS / file) for file in files}
    for trap, guards in TRAPS.items():
        marks = [there[file][name] for file, name in guards]  # KeyError: there is no such test
        assert any("mark.slow" not in m and "mark.gpu" not in m for m in marks), trap


def marks_of(file: Path) -> dict[str, str]:
    """The functions of a file, with their decorators as text."""
    found = [n for n in ast.parse(file.read_text("utf-8")).body if isinstance(n, ast.FunctionDef)]
    return {n.name: " ".join(ast.unparse(d) for d in n.decorator_list) for n in found}


class Column:
    """Inputs that nobody reads."""

    def gather(self, rows: Tensor) -> Input:
        return Input(rows.float())


@pytest.mark.filterwarnings("ignore:The `srun` command is available")
def test_lightning_leaves_the_loader_as_it_is() -> None:
    """With two ranks; a sampler that Lightning knows would be replaced, its order and length lost."""
    rows = np.arange(40)
    labels = torch.zeros(40, dtype=torch.int64)
    loader = Loader({"x": Column()}, labels, rows, EpochSampler(labels.numpy(), 1, Instance(), 7), 8, world=2)
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False)
    connector = trainer._data_connector
    assert (
        trainer._accelerator_connector.use_distributed_sampler
    )  # its default, which Leyden turns off besides
    prepared = connector._prepare_dataloader(loader, shuffle=True, mode=RunningStage.TRAINING)
    assert prepared is loader


def test_more_rows_than_multinomial_can_weigh() -> None:
    """No limit at 2^24 rows, weights exact for the rare class, memory of a few bytes a row."""
    rare, drawn = 5, 100_000
    labels = np.zeros(MULTINOMIAL + 1000, np.int64)
    labels[-rare:] = 1
    tracemalloc.start()
    try:
        order = EpochSampler(labels, 2, Power(0.0), seed=1, length=drawn).epoch(0)
        peak = tracemalloc.get_traced_memory()[1] / len(labels)
    finally:
        tracemalloc.stop()
    uses = np.bincount(order, minlength=len(labels))
    assert uses[-rare:].tolist() == [drawn // 2 // rare] * rare
    assert uses[:-rare].sum() == drawn // 2
    assert uses[:-rare].max() == 1
    assert order[labels[order] == 0].max() > MULTINOMIAL - 2000
    assert peak < 16  # bytes a row; a list of Python integers alone takes 8, and 28 for each integer


@dataclass(frozen=True)
class Half:
    """A policy whose epoch is half of the data."""

    def prior(self, counts: np.ndarray, epoch: int, epochs: int) -> np.ndarray:
        return counts / counts.sum()

    def length(self, counts: np.ndarray) -> int:
        return int(counts.sum()) // 2


@pytest.mark.parametrize(
    ("sampling", "shorter"), [("instance", 1), ("balanced", 1), ("sampling._target_=test_traps.Half", 2)]
)
def test_a_schedule_ends_with_the_run(tiny: Callable[..., list[str]], sampling: str, shorter: int) -> None:
    """The length of an epoch is the policy's, and schedules count the steps that there are."""
    choice = sampling if "=" in sampling else f"sampling={sampling}"
    outcome = train(tiny(choice, "scheduler=cosine"))
    with (outcome.folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = EPOCH // shorter
    assert [int(row["step"]) for row in rows] == [steps, 2 * steps]
    assert outcome.result["cost"]["steps"] == 2 * steps
    assert float(rows[-1]["lr"]) == pytest.approx(0, abs=1e-5)
    assert float(rows[0]["lr"]) > 1e-4
