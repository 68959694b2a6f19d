"""What every loss promises, tested over all options of conf/loss: a new one needs no test of its own for this."""

from pathlib import Path

import pytest
import torch
import yaml

from leyden.config.compose import conf_dir
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.validate import PROVIDED, bind

OPTIONS = sorted((conf_dir() / "loss").glob("*.yaml"))
FACTS = {"num_classes": 5, "class_counts": (50, 40, 30, 20, 10), "class_names": tuple("abcde"), "epochs": 10}


def test_the_scan_finds_every_loss() -> None:
    assert {"cross_entropy", "focal", "focal_sigmoid"} <= {path.stem for path in OPTIONS}


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_one_finite_loss_a_sample_with_a_gradient_that_helps(path: Path, scale: float) -> None:
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    bind("loss", node, PROVIDED["loss"])
    loss = instantiate_with_facts("loss", node, FACTS)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 5
    logits = (scale * torch.randn(40, 5, generator=generator)).requires_grad_()
    losses = loss(logits, labels)
    assert losses.shape == (40,)
    assert losses.isfinite().all()
    losses.mean().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if scale == 1.0:
        better = loss(logits.detach() - 0.1 * logits.grad / logits.grad.norm(), labels)
        assert better.mean() < losses.mean()
    one = torch.stack([loss(logits[i : i + 1], labels[i : i + 1])[0] for i in range(40)])
    torch.testing.assert_close(one, losses)  # no sample's loss depends on the others
