"""Margins of training rows: by the formula, over the draws of a run, whatever the sampling, the loss, the ranks."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from leyden.callbacks.margins import _MOST_DRAWS, Margins
from leyden.data.batch import Batch, Input, MixupTargets
from leyden.imbalance.class_prior import Ledger
from leyden.modules.standalone import fit_frontend
from leyden.runs.run import MARGINS
from leyden.training.job import train
from leyden.training.setup import open_session

Tiny = Callable[..., list[str]]
ROWS = np.array([3, 5, 8])
EVEN = Ledger.of((1, 1, 1), lambda epoch: np.full(3, 1 / 3), lambda epoch: None, 9)


class Own(LightningModule):
    """A module of a user's own, which answers the batch's one input."""

    def forward(self, batch: Batch) -> Tensor:
        return batch.input.values

    trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]


def batch(
    rows: list[int], targets: list[int], logits: list[list[float]], epoch: int = 1, **more: Any
) -> Batch:
    positions = torch.arange(len(rows))
    inputs = {"x": Input(torch.tensor(logits))}
    return Batch(inputs, torch.tensor(targets), torch.tensor(rows), positions, epoch, **more)


def margins(*batches: Batch, ledger: Ledger = EVEN) -> Margins:
    """What is known after a module has answered these batches."""
    found, module = Margins(ROWS, np.array([0, 1, 2]), ledger), Own()
    found.setup(module.trainer, module, "fit")
    for one in batches:
        module(one)
    found.on_save_checkpoint(module.trainer, module, {})
    return found


def test_the_formula() -> None:
    found = margins(
        batch([8, 3], [2, 0], [[0.0, 1.0, 3.0], [1.0, 5.0, 2.0]]), batch([8], [2], [[4.0, 0.0, 1.0]], 2)
    )
    expected = [np.tanh((1 - 5) / 2), np.nan, (np.tanh((3 - 1) / 2) + np.tanh((1 - 4) / 2)) / 2]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-6)
    assert found.draws.tolist() == [1, 0, 2]
    assert found.answers.tolist() == [
        1,
        1,
        0,
    ]  # the last answer that was another; of one never drawn its label


def test_long_epochs_are_added_up_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sums, bit for bit, and no more than so many draws are kept."""
    rng = np.random.default_rng(0)
    batches = [
        batch(rng.choice(ROWS, 4).tolist(), rng.integers(0, 3, 4).tolist(), rng.normal(size=(4, 3)).tolist())
        for _ in range(200)
    ]
    batches = [one._replace(positions=one.positions + 4 * k) for k, one in enumerate(batches)]
    whole = margins(*batches)
    monkeypatch.setattr("leyden.callbacks.margins._MOST_FOLDED", 128)
    found, module = Margins(ROWS, np.array([0, 1, 2]), EVEN), Own()
    found.setup(module.trainer, module, "fit")
    for one in batches:
        module(one)
        assert sum(map(len, found._folded)) < 128
    found.on_save_checkpoint(module.trainer, module, {})
    for name in ("sums", "draws", "answers"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_the_first_epoch_does_not_count() -> None:
    assert not margins(batch([8], [2], [[0.0, 1.0, 3.0]], epoch=0)).draws.any()


def test_evaluation_does_not_count() -> None:
    found, module = Margins(ROWS, np.zeros(3, np.int64), EVEN), Own()
    found.setup(module.trainer, module, "fit")
    module.eval()
    module(batch([8], [2], [[0.0, 1.0, 3.0]]))
    found.on_save_checkpoint(module.trainer, module, {})
    assert not found.draws.any()


def test_outputs_that_are_not_finite_do_not_count() -> None:
    found = margins(batch([3, 5], [0, 1], [[np.nan, 1.0, 0.0], [0.0, 2.0, 0.0]]))
    assert found.draws.tolist() == [0, 1, 0]


def test_a_prior_that_is_corrected_is_put_back() -> None:
    """Balanced sampling of classes of .8, .1 and .1: the labels were given under these shares, the logits have none."""
    ledger = Ledger.of((8, 1, 1), lambda epoch: np.full(3, 1 / 3), lambda epoch: None, 9)
    found = margins(batch([5], [1], [[0.0, 1.0, 0.5]]), ledger=ledger)
    assert found.mean[1] == pytest.approx(np.tanh((1 + np.log(0.3) - np.log(2.4)) / 2), abs=1e-6)


def test_mixed_samples_count_by_their_greater_part() -> None:
    mix = MixupTargets(torch.tensor([1, 0]), torch.tensor([0.7, 0.3]))
    found = margins(batch([3, 5], [0, 1], [[2.0, 9.0, 1.0], [0.0, 0.0, 0.0]], mix=mix))
    assert found.draws.tolist() == [1, 0, 0]
    assert found.mean[0] == pytest.approx(np.tanh((2 - 1) / 2))  # class 1 is the partner's, and no rival


def test_a_mean_that_is_known_is_left() -> None:
    found, module = Margins(ROWS, np.array([0, 1, 2]), EVEN), Own()
    found.draws[:] = _MOST_DRAWS
    found.setup(module.trainer, module, "fit")
    module(batch([8], [2], [[0.0, 1.0, 3.0]]))
    found.on_save_checkpoint(module.trainer, module, {})
    assert found.draws.max() == _MOST_DRAWS
    assert not found.sums.any()


def stored(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / MARGINS) as arrays:
        return dict(arrays)


def test_a_run_stores_those_of_its_draws(tiny: Tiny) -> None:
    """At a learning rate of (nearly) 0 each draw of a row has the margin that its logits at the start give."""
    words = tiny(
        "model=linear",
        "trainer.max_epochs=4",
        "optimizer=sgd",
        "optimizer.lr=1e-30",
        "data.flipped_labels=0.2",
    )
    session = open_session(words)
    module, data = session.module.eval(), session.data
    fit_frontend(module, data)
    with torch.no_grad():
        logits = module(module.prepare(data.batch_of(data.splits.train))).numpy()
    found = stored(train(words).folder)
    labels = data.table.index.targets[data.splits.train]
    places = np.arange(len(labels))
    own = logits[places, labels].copy()
    logits[places, labels] = -np.inf
    np.testing.assert_array_equal(found["rows"], data.splits.train)
    np.testing.assert_array_equal(found["labels"], labels)
    assert found["draws"].sum() == 3 * (len(labels) // 16 * 16)
    np.testing.assert_allclose(found["margins"], np.tanh((own - logits.max(1)) / 2), atol=1e-5)
    assert (found["labels"] != found["source_labels"]).mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.slow
def test_ranks_store_what_one_process_does(tiny: Tiny) -> None:
    words = tiny(
        "trainer.max_epochs=3", "sampling=balanced", "trainer.accumulate_grad_batches=2", "model=linear"
    )
    one = stored(train(words).folder)
    others = ["trainer=ddp_cpu", "trainer.devices=2", "runs=two"]
    two = stored(train([w for w in words if w != "trainer=cpu"] + others).folder)
    np.testing.assert_array_equal(one["draws"], two["draws"])
    np.testing.assert_allclose(one["margins"], two["margins"], atol=1e-4)
