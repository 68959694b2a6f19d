"""What is shown of each epoch: read back from event files, for every task, and the same after a resume."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from brightness import REGRESSION
from leyden.callbacks import tensorboard_training
from leyden.callbacks.checkpoint import Checkpoint
from leyden.callbacks.cpu_budget import CpuBudget
from leyden.callbacks.tensorboard_epochs import THRESHOLDS, threshold_counts
from leyden.callbacks.tensorboard_training import TrainingViews, is_due
from leyden.modules.classification import Classifier
from leyden.runs.run import EVENT_FILES
from leyden.training.job import train
from leyden.utils import tensors

Tiny = Callable[..., list[str]]
FULL = ("logger=tensorboard", "logger.tensorboard.detail=full")
STEPS = 10  # of an epoch of these runs
SIZE = 240


def events(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """Tag -> (step, plugin) of every event in the files, as often as it is there."""
    found: dict[str, list[tuple[int, str]]] = {}
    plugins: dict[str, str] = {}
    for path in sorted(folder.glob(EVENT_FILES)):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                name = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                found.setdefault(value.tag, []).append((event.step, name))
    return found


def shown(folder: Path, plugin: str) -> dict[str, list[int]]:
    """Tag -> steps of what the training writes for a plugin of TensorBoard."""
    own = ("7 ", "8 ", "weights/", "gradients/", "activations/", "logits/", "predictions/", "5 recall")
    return {
        tag: [step for step, _ in rows]
        for tag, rows in events(folder).items()
        if tag.startswith(own) and rows[0][1] == plugin
    }


@pytest.fixture
def even(tiny: Tiny) -> Tiny:
    return lambda *more: tiny("data.source.samples=230", *more)


def test_every_epoch_has_its_views(even: Tiny) -> None:
    folder = train(even(*FULL)).folder
    both = [STEPS, 2 * STEPS]
    pictures = shown(folder, "images")
    assert pictures["8 val by epoch/confusion"] == both
    assert pictures["8 val by epoch/samples"] == both
    curves = shown(folder, "pr_curves")
    assert set(map(tuple, curves.values())) == {tuple(both)}
    recalls = shown(folder, "scalars")
    assert {tag.removeprefix("5 recall/") for tag in recalls} == {
        tag.removeprefix("8 val by epoch/") for tag in curves
    }
    histograms = shown(folder, "histograms")
    assert set(map(tuple, histograms.values())) == {tuple(both)}
    groups = {tag.partition("/")[0] for tag in histograms}
    assert groups == {"weights", "gradients", "activations", "logits"}


def test_light_shows_recall_and_the_first_batch_alone(even: Tiny) -> None:
    folder = train(even("logger=tensorboard", "logger.tensorboard.detail=light")).folder
    assert set(shown(folder, "images")) == {"7 first batch/train", "7 first batch/val"}
    assert not shown(folder, "histograms")
    assert not shown(folder, "pr_curves")
    assert shown(folder, "scalars")


@pytest.mark.parametrize(
    ("options", "figures", "has_recall"),
    [
        (["data=planted_tags", "task=multilabel", "model=gru"], {"errors by label"}, True),
        (REGRESSION, {"predicted/brightness", "predicted/contrast"}, False),
    ],
)
def test_other_tasks_have_what_corresponds(
    tiny: Tiny, options: list[str], figures: set[str], has_recall: bool
) -> None:
    settings = [o for o in tiny(*options, *FULL) if not o.startswith("data.source.size")]
    folder = train(settings).folder
    found = {tag.removeprefix("8 val by epoch/") for tag in shown(folder, "images") if tag.startswith("8 ")}
    assert found - {"samples"} == figures
    assert "samples" in found or "8 val by epoch/samples/text_summary" in events(folder)
    assert bool(shown(folder, "scalars")) == bool(shown(folder, "pr_curves")) == has_recall


def test_a_module_of_ones_own_that_answers_has_them_too(even: Tiny) -> None:
    own = ["model.module._target_=test_tensorboard_inputs.OwnLoop", "monitor=val/hits"]
    folder = train(even(*own, *FULL)).folder
    assert {"8 val by epoch/confusion", "8 val by epoch/samples"} <= set(shown(folder, "images"))
    assert {tag.partition("/")[0] for tag in shown(folder, "histograms")} == {
        *("weights", "gradients", "activations", "logits")
    }


class _Killed(BaseException):
    """As sudden as a SIGKILL, but the test goes on."""


@pytest.mark.parametrize("at", [4, STEPS + 6])
def test_a_resumed_run_has_the_same_tags_and_steps(
    even: Tiny, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*FULL, "augment=crop_flip"]
    straight = events(train(even(*options)).folder)

    def save_and_die(self: Any, trainer: Any, *given: Any) -> None:
        if trainer.global_step == at:
            self.save(trainer)
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_end", save_and_die)
        with pytest.raises(_Killed):
            train(even(*options, "runs=broken"))
    resumed = events(train(even(*options, "runs=broken")).folder)
    assert {t: sorted(rows) for t, rows in resumed.items()} == {
        t: sorted(rows) for t, rows in straight.items()
    }


def test_a_run_resumed_after_the_last_validation_of_an_epoch_loses_nothing_of_it(
    even: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["logger=tensorboard", "trainer.val_check_interval=3"]  # the last one after step 9 of 10
    whole = train(even(*options)).folder
    straight = shown(whole, "scalars")

    def die(self: Any, trainer: Any, *given: Any) -> None:
        if trainer.global_step == STEPS:
            raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_batch_end", die, raising=False)
        with pytest.raises(_Killed):
            train(even(*options, "checkpoint_steps=1", "runs=broken"))
    resumed = train(even(*options, "runs=broken")).folder
    assert shown(resumed, "scalars") == straight
    assert straight
    one, other = (
        [json.loads(epoch)["predicted"] for epoch in _monitor(folder)["epochs"]]
        for folder in (whole, resumed)
    )
    assert all(one)
    assert one == other


def _monitor(folder: Path) -> dict[str, Any]:
    found = tensors.load(folder / "checkpoints/last.ckpt")["callbacks"]["HealthMonitor"]["monitor"]
    return dict(found)


def test_samples_are_the_same_at_every_epoch(even: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[list[int]] = []
    original = tensorboard_training.write_samples

    def noted(writer: Any, found: Any, task: Any, data: Any, title: str, step: int) -> None:
        from leyden.callbacks.tensorboard_epochs import followed

        rows.append(found.rows[followed(found.rows, data)].tolist())
        original(writer, found, task, data, title, step)

    monkeypatch.setattr(tensorboard_training, "write_samples", noted)
    train(even(*FULL))
    train(even(*FULL, "seed=2", "split.seed=0"))
    assert len(rows) == 4
    assert rows[0] == rows[1] == rows[2] == rows[3]
    assert len(set(rows[0])) == len(rows[0]) > 5


def test_thresholds_count_as_they_are_defined() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.uniform(size=200), [0.0, 1.0, 1.0]])
    truth = rng.uniform(size=203) < scores
    tp, fp, tn, fn, precision, recall = threshold_counts(scores, truth)
    for k in (0, 1, 50, THRESHOLDS - 1):
        above = np.floor(scores * (THRESHOLDS - 1)) >= k
        assert (tp[k], fp[k]) == ((above & truth).sum(), (above & ~truth).sum())
        assert (tn[k], fn[k]) == ((~above & ~truth).sum(), (~above & truth).sum())
        assert precision[k] == pytest.approx(tp[k] / max(above.sum(), 1))
        assert recall[k] == pytest.approx(tp[k] / truth.sum())


def test_pictures_are_due_at_thinned_epochs_and_at_the_last() -> None:
    assert [e for e in range(1, 101) if is_due(e, 100, "auto")] == [
        1,
        2,
        3,
        4,
        6,
        8,
        11,
        16,
        23,
        32,
        45,
        64,
        91,
        100,
    ]
    assert not any(is_due(e, 10, "light") for e in range(1, 11))
    assert all(is_due(e, 10, "full") for e in range(1, 11))


class Clock:
    """Runs only where a step or a view says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("step", "view", "most"), [(2.0, 1.0, 0.03), (0.001, 0.05, None)])
def test_the_views_of_a_run_stay_within_their_share(
    even: Tiny, step: float, view: float, most: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 epochs of ten steps: 800 s in which a view takes 1 s, or .4 s in which it takes .05."""
    clock, budgets, drawn = Clock(), [], []
    original = Classifier.training_step

    def slow_step(self: Any, batch: Any, batch_idx: int) -> Any:
        clock.now += step
        return original(self, batch, batch_idx)

    def view_of(*given: Any) -> None:
        clock.now += view
        drawn.append(given[-1])  # at which step

    def init(self: Any, logger: Any, task: Any) -> None:
        logger.budget = CpuBudget(clock=clock)
        budgets.append(logger.budget)
        TrainingViews.original(self, logger, task)  # type: ignore[attr-defined]

    monkeypatch.setattr(TrainingViews, "original", TrainingViews.__init__, raising=False)
    monkeypatch.setattr(TrainingViews, "__init__", init)
    monkeypatch.setattr(Classifier, "training_step", slow_step)
    for name in ("write_figures", "write_samples", "write_curves", "write_histograms", "write_inputs"):
        monkeypatch.setattr(tensorboard_training, name, view_of)
    train(even("logger=tensorboard", "trainer.max_epochs=40", "data.source.samples=230"))
    (budget,) = budgets
    assert drawn[-1] == 400, "the last epoch is shown"
    assert 2 * view < budget.spent <= (0.6 if most is None else most * clock.now)
