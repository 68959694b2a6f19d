"""Heads: the layer they replace, the weights they keep, and their outputs."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from leyden.config.compose import compose, conf_dir
from leyden.config.instantiate import instantiate_with_facts
from leyden.config.validate import import_target
from leyden.nets import heads
from leyden.nets.heads import Cosine, Plain, Scaled, TauNormalised
from leyden.utils.errors import UserError

FACTS = {
    **{"num_outputs": 7, "in_channels": 1, "image_size": (28, 28), "vocab_size": 50, "sample_rate": 8000},
    **{
        "max_length": 4000,
        "bins": 40,
        "class_counts": (5,) * 7,
        "numbers": ("age", "weight"),
        "categories": {},
    },
}
MODELS = sorted(
    path.stem
    for path in (conf_dir() / "model").glob("*.yaml")
    if path.stem not in ("majority", "torchvision", "dual_encoder") and not path.stem.startswith("fusion")
)


def net_of(model: str) -> nn.Module:
    frontend = yaml.safe_load((conf_dir() / "model" / f"{model}.yaml").read_text())["frontend"]["_target_"]
    modality = getattr(import_target(frontend, "model.frontend"), "modality", "image")
    data = {"text": "planted_text", "audio": "planted_audio"}.get(modality, "planted_images")
    node = compose([f"data={data}", f"model={model}"])["model"]["net"]
    net: nn.Module = instantiate_with_facts("model.net", node, FACTS)
    return net


def test_there_are_enough_models() -> None:
    assert len(MODELS) >= 12


@pytest.mark.parametrize("model", MODELS)
def test_every_net_has_a_head_that_can_be_replaced(model: str) -> None:
    net = net_of(model)
    name = heads.find(net, 7)
    linear = net.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    last = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Conv1d)][-1]
    assert linear is last
    keys = set(net.state_dict())
    heads.replace(net, 7, Scaled())
    assert set(net.state_dict()) == keys | {f"{name}.factor"}
    heads.replace(net, 7, Cosine())
    assert set(net.state_dict()) == keys - {f"{name}.bias"}


def test_cosine_is_the_scaled_cosine() -> None:
    head = Cosine(16.0)(nn.Linear(5, 3))
    x = torch.randn(20, 5) * 100
    w = head.weight.detach()
    expected = 16 * (x @ w.T) / x.norm(dim=1, keepdim=True) / w.norm(dim=1)
    torch.testing.assert_close(head(x), expected)
    assert head(x).abs().max() <= 16.001
    torch.testing.assert_close(w.norm(dim=1), torch.ones(3))
    assert head(torch.full((1, 5), 6e4, dtype=torch.float16)).isfinite().all()


def test_scaled_and_tau_start_from_the_plain_head() -> None:
    linear, x = nn.Linear(5, 3), torch.randn(4, 5)
    torch.testing.assert_close(Scaled()(linear)(x), linear(x))
    torch.testing.assert_close(TauNormalised(0.0)(linear)(x), linear(x))
    w, b = linear.weight.detach(), linear.bias.detach()
    for tau in (0.5, 1.0):
        torch.testing.assert_close(
            TauNormalised(tau)(linear)(x), x @ (w / w.norm(dim=1, keepdim=True) ** tau).T + b
        )
    assert Plain()(linear) is linear
    scaled = Scaled()(linear)
    with torch.no_grad():
        scaled.factor.copy_(torch.tensor([1.0, 2.0, 0.5]))  # type: ignore[operator, union-attr]
    torch.testing.assert_close(scaled(x), linear(x) * torch.tensor([1.0, 2.0, 0.5]))


def test_a_net_without_a_head_is_refused() -> None:
    assert (
        heads.find(nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 7)), 7) == "2"
    )  # not the hidden one
    with pytest.raises(UserError, match="no linear layer with 7 outputs"):
        heads.find(nn.Sequential(nn.Linear(4, 3)), 7)


HEADS = sorted((conf_dir() / "head").glob("*.yaml"))


def test_there_are_enough_heads() -> None:
    assert {"linear", "cosine", "scaled", "tau_normalised"} <= {path.stem for path in HEADS}


@pytest.mark.parametrize("path", HEADS, ids=lambda path: path.stem)
def test_every_option_makes_a_linear_head_of_a_linear_layer(path: Path) -> None:
    make = instantiate_with_facts("head", yaml.safe_load(path.read_text(encoding="utf-8")), FACTS)
    head = make(nn.Linear(5, 7))
    assert isinstance(head, nn.Linear)
    assert head(torch.randn(4, 5)).shape == (4, 7)
