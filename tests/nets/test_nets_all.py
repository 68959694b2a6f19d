"""Properties of every net in leyden.nets."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

import leyden.nets

FACTS = {
    "num_outputs": 5,
    "in_channels": 3,
    "image_size": (16, 16),
    "vocab_size": 30,
    "bins": 20,
    "sample_rate": 8000,
    "trivial_outputs": (0.4, 0.3, 0.2, 0.1, 0.0),
    "numbers": ("age", "weight"),
    "categories": {"site": ("north", "south")},
}
LENGTHS = {"text": [7, 3, 1, 5], "logmel": [40, 17, 1, 33], "wave": [2000, 801, 1, 1333]}


def found() -> list[type[nn.Module]]:
    """Every class of leyden.nets that answers one input; of frames: test_speech.py, of several: test_fusion.py."""
    nets = []
    for info in pkgutil.iter_modules(leyden.nets.__path__):
        module = importlib.import_module(f"leyden.nets.{info.name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if (
                cls.__module__ == module.__name__
                and hasattr(cls, "features")
                and not hasattr(cls, "output_lengths")
                and not hasattr(cls, "takes_named_inputs")
            ):
                nets.append(cls)
    return nets


NETS = found()


def test_the_scan_finds_every_net() -> None:
    assert len(NETS) >= 9
    assert {"MLP", "KerasCNN", "CNN", "ResNet", "Torchvision", "RNN", "LogMelCNN", "CRNN", "M5"} <= {
        cls.__name__ for cls in NETS
    }


CONF = Path(__file__).parents[2] / "conf"


def test_every_net_and_loss_has_an_option_and_every_option_is_built() -> None:
    models = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / "model").glob("*.yaml")}
    nets = {
        name: dict(model["net"]) for name, model in models.items() if not name.startswith(("fusion", "dual"))
    }
    assert len(nets) >= 13
    built = {type(build(get_class(net.pop("_target_")), **net)) for net in nets.values()}
    assert "SpeechRNN" in {cls.__name__ for cls in built}
    assert built >= set(NETS)
    assert all(models[name]["name"] == name for name in models)
    assert all(
        path.read_text().startswith("# ") for path in (*CONF.glob("model/*.yaml"), *CONF.glob("loss/*.yaml"))
    )
    named = {yaml.safe_load(path.read_text())["_target_"] for path in (CONF / "loss").glob("*.yaml")}
    assert "${task.loss}" in named
    losses = {get_class(target) for target in named - {"${task.loss}"}}
    assert {cls.__name__ for cls in losses} >= {"CrossEntropy", "FocalSoftmax", "FocalSigmoid"}


def get_class(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def kind(cls: type[nn.Module]) -> str:
    asked = inspect.signature(cls).parameters
    by_fact = {"vocab_size": "text", "bins": "logmel", "sample_rate": "wave", "numbers": "table"}
    return next((name for fact, name in by_fact.items() if fact in asked), "image")


def build(cls: type[nn.Module], **more: Any) -> Any:
    torch.manual_seed(0)
    asked = inspect.signature(cls).parameters
    return cls(**{name: value for name, value in FACTS.items() if name in asked}, **more)


def example(cls: type[nn.Module]) -> tuple[Tensor, ...]:
    """Four samples as inputs of the net: (x,) or (x, lengths)."""
    torch.manual_seed(1)
    if kind(cls) == "image":
        return (torch.randn(4, 3, 16, 16),)
    if kind(cls) == "table":
        return (torch.cat([torch.randn(4, 2), torch.tensor([[0.0], [1], [2], [1]])], dim=1),)
    lengths = torch.tensor(LENGTHS[kind(cls)])
    steps = int(lengths.max())
    if kind(cls) == "text":
        ids = torch.randint(1, FACTS["vocab_size"], (4, steps))
        return ids * (torch.arange(steps) < lengths[:, None]), lengths
    shape = (4, 1, FACTS["bins"], steps) if kind(cls) == "logmel" else (4, 1, steps)
    return torch.randn(shape), lengths


each_net = pytest.mark.parametrize("cls", NETS, ids=lambda cls: cls.__name__)


@each_net
def test_logits_are_the_head_of_the_features(cls: type[nn.Module]) -> None:
    net, inputs = build(cls).eval(), example(cls)
    features, logits = net.features(*inputs), net(*inputs)
    assert features.shape == (4, net.feature_width)
    assert logits.shape == (4, FACTS["num_outputs"])
    assert torch.equal(net.head(features), logits)
    assert torch.equal(net(*inputs), logits), "eval mode is deterministic"


@each_net
def test_the_head_can_be_replaced(cls: type[nn.Module]) -> None:
    net = build(cls).eval()
    net.head = nn.Linear(net.feature_width, 7)
    assert net(*example(cls)).shape == (4, 7)


@each_net
def test_a_gradient_reaches_every_parameter(cls: type[nn.Module]) -> None:
    net = build(cls).train()
    net(*example(cls)).square().sum().backward()
    dead = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert dead == []


@each_net
def test_samples_are_independent(cls: type[nn.Module]) -> None:
    net, inputs = build(cls).eval(), example(cls)
    others = torch.randint_like(inputs[0], 1, 30) if kind(cls) == "text" else torch.randn_like(inputs[0])
    others[1] = inputs[0][1]
    with torch.no_grad():
        before, after = net(*inputs), net(others, *inputs[1:])
    torch.testing.assert_close(after[1], before[1], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(after[0], before[0])


@each_net
def test_double_precision_and_bfloat16(cls: type[nn.Module]) -> None:
    net, (x, *lengths) = build(cls).eval(), example(cls)
    with torch.no_grad():
        single = net(x, *lengths)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = net(x, *lengths)
        double = net.double()(x.double() if x.is_floating_point() else x, *lengths)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(half.float(), single, rtol=0.1, atol=0.1 * float(single.abs().max()))


@each_net
def test_bfloat16_trains(cls: type[nn.Module]) -> None:
    net, inputs = build(cls).train(), example(cls)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = net(*inputs).float().square().sum()
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters())


@each_net
def test_state_dict_round_trip(cls: type[nn.Module]) -> None:
    net, other = build(cls).eval(), build(cls).eval()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
        other.load_state_dict(net.state_dict())
        assert torch.equal(net(*example(cls)), other(*example(cls)))


def padding_changes_nothing(net: Callable[..., Tensor], inputs: tuple[Tensor, ...], tolerance: float) -> None:
    """A sample has the same logits alone, in a batch, and in a batch with longer, random padding."""
    x, lengths = inputs
    with torch.no_grad():
        batch = net(x, lengths)
        # Ids must stay valid; values beyond a length may be anything, even NaN.
        filler = torch.full(
            (*x.shape[:-1], 9), 3 if not x.is_floating_point() else float("nan"), dtype=x.dtype
        )
        wider = torch.cat([x, filler], dim=-1)
        beyond = torch.arange(wider.shape[-1]) >= lengths[:, None]
        beyond = beyond.reshape(len(x), *[1] * (x.dim() - 2), -1).expand_as(wider)
        wider = torch.where(beyond, filler.flatten()[0], wider)
        torch.testing.assert_close(net(wider, lengths), batch, rtol=tolerance, atol=tolerance)
        for i, length in enumerate(lengths.tolist()):
            alone = net(x[i : i + 1, ..., :length], lengths[i : i + 1])[0]
            torch.testing.assert_close(alone, batch[i], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("cls", [c for c in NETS if kind(c) in ("logmel", "wave")], ids=lambda c: c.__name__)
def test_audio_nets_ignore_padding(cls: type[nn.Module]) -> None:
    net = build(cls)
    inputs = example(cls)
    for _ in range(3):
        net.train()(*inputs)  # running statistics that are not the identity
    padding_changes_nothing(net.eval(), inputs, 1e-5)


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_text_nets_ignore_padding(cell: str, bidirectional: bool, pooling: str) -> None:
    from leyden.nets.text import RNN

    net = build(RNN, cell=cell, bidirectional=bidirectional, pooling=pooling, layers=2)
    net.train()(*example(RNN)).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in net.parameters())
    padding_changes_nothing(net.eval(), example(RNN), 1e-6)
