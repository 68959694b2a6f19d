"""Properties of every option of conf/loss; a new loss is tested without further code."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from leyden.config.compose import conf_dir
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.validate import PROVIDED, bind
from loss_options import loss_options

TASKS = ("classification", "multilabel", "regression", "ctc", "contrastive")
OPTIONS = [(task, path) for task in TASKS[:-1] for path in loss_options(task)]
OF_BATCHES = {path.stem for path in loss_options("contrastive")}  # see test_losses_contrastive.py
FACTS = {
    "num_outputs": 5,
    "num_classes": 5,
    "class_counts": (50, 40, 30, 20, 10),
    "target_names": tuple("abcde"),
    "num_samples": 60,
    "epochs": 10,
}


def test_the_scan_finds_every_loss() -> None:
    names = {path.stem for _, path in OPTIONS}
    assert {"cross_entropy", "focal", "focal_sigmoid", "bce", "asymmetric", "mse", "huber"} <= names
    assert {path.stem for path in loss_options("regression")} == {"mse", "mae", "huber"}
    assert {path.stem for path in (conf_dir() / "loss").glob("*.yaml")} - names == {"auto", *OF_BATCHES}


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_of_a_task_is_an_option_for_it(task: str) -> None:
    """What loss=auto stands for, so that it is among those tested here."""
    own = yaml.safe_load((conf_dir() / "task" / f"{task}.yaml").read_text(encoding="utf-8"))["loss"]
    options = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in loss_options(task)]
    assert {"_target_": own} in options


def test_the_tasks_are_all_there_are() -> None:
    assert set(TASKS) == {path.stem for path in (conf_dir() / "task").glob("*.yaml")}


def made(path: Path) -> nn.Module:
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    bind("loss", node, PROVIDED["loss"])
    loss: nn.Module = instantiate_with_facts("loss", node, FACTS)
    return loss


def targets(task: str) -> Tensor:
    """Of 40 samples: labels (40,), label sets (40, 5), standardised values (40, 5), transcripts (40, 3)."""
    generator = torch.Generator().manual_seed(1)
    every: dict[str, Any] = {
        "classification": torch.arange(40) % 5,
        "multilabel": (torch.rand(40, 5, generator=generator) < 0.4).float(),
        "regression": torch.randn(40, 5, generator=generator),
        "ctc": torch.stack(
            [torch.arange(40) % 4 + 1, torch.full((40,), 2), torch.where(torch.arange(40) % 3 > 0, 2, -1)], 1
        ),
    }
    return every[task]


@pytest.mark.parametrize(("task", "path"), OPTIONS, ids=[path.stem for _, path in OPTIONS])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_one_finite_loss_a_sample_with_a_gradient_that_helps(task: str, path: Path, scale: float) -> None:
    loss, target = made(path), targets(task)
    generator = torch.Generator().manual_seed(0)
    logits = (scale * torch.randn(40, 5, generator=generator)).requires_grad_()
    losses = loss(logits, target)
    assert losses.shape == (40,)
    assert losses.isfinite().all()
    losses.mean().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if scale == 1.0:
        better = loss(logits.detach() - 0.1 * logits.grad / logits.grad.norm(), target)
        assert better.mean() < losses.mean()
    one = torch.stack([loss(logits[i : i + 1], target[i : i + 1])[0] for i in range(40)])
    torch.testing.assert_close(one, losses)  # no sample's loss depends on the others


@pytest.mark.parametrize(("task", "path"), OPTIONS, ids=[path.stem for _, path in OPTIONS])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_computed_in_float32(task: str, path: Path, dtype: torch.dtype) -> None:
    loss, target = made(path), targets(task)
    logits = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = loss(logits, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(logits.float(), target))
