"""FLOPs equal closed forms, over a grid of shapes, for every kind of layer that our nets use."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from leyden.nets.audio import CRNN, M5, LogMelCNN
from leyden.nets.heads import CosineLinear, ScaledLinear, TauNormalisedLinear
from leyden.nets.image import CNN, MLP, KerasCNN
from leyden.nets.layers import AttentionPool, Recurrent
from leyden.nets.resnet import ResNet
from leyden.nets.text import RNN
from leyden.nets.torchvision import Torchvision
from leyden.profiling.flops import Flops, count

BATCHES, GATES = (1, 3), {"rnn": 1, "lstm": 4, "gru": 3}


def grid(*axes: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(itertools.product(*axes))


def counted(net: nn.Module, *inputs: Any) -> Flops:
    with torch.no_grad():
        found = count(net, lambda: net(*inputs))
    assert found.uncounted == ()
    assert sum(found.layers.values()) == found.total
    return found


@pytest.mark.parametrize(("batch", "inputs", "outputs"), grid(BATCHES, (1, 7, 64), (2, 10)))
def test_linear(batch: int, inputs: int, outputs: int) -> None:
    assert (
        counted(nn.Linear(inputs, outputs), torch.zeros(batch, inputs)).total == 2 * batch * inputs * outputs
    )


@pytest.mark.parametrize(
    ("batch", "groups", "kernel", "stride", "padding", "dilation"),
    grid(BATCHES, (1, 2), (1, 3, 5), (1, 2), (0, 1), (1, 2)),
)
def test_convolution(batch: int, groups: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    """2 N Cin/groups Cout K Q with Q output positions, in one and in two dimensions."""
    for make, shape in ((nn.Conv1d, (17,)), (nn.Conv2d, (17, 12))):
        conv = make(4, 6, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
        places = 1
        for size in shape:
            places *= (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        expected = 2 * batch * (4 // groups) * 6 * kernel ** len(shape) * places
        assert counted(conv, torch.zeros(batch, 4, *shape)).total == expected


@pytest.mark.parametrize(
    ("cell", "batch", "steps", "layers", "directions", "first"),
    grid(GATES, BATCHES, (1, 9), (1, 2), (1, 2), (True, False)),
)
def test_recurrent_layers_of_torch(
    cell: str, batch: int, steps: int, layers: int, directions: int, first: bool
) -> None:
    """2 N T gates H (inputs + H) for each layer and direction: torch's counter alone reads 0 for an LSTM on a CPU."""
    inputs, hidden = 5, 8
    kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
    net = kind(inputs, hidden, layers, batch_first=first, bidirectional=directions == 2)
    expected = 0
    for layer in range(layers):
        width = inputs if layer == 0 else directions * hidden
        expected += 2 * batch * steps * GATES[cell] * hidden * (width + hidden) * directions
    x = torch.zeros(batch, steps, inputs) if first else torch.zeros(steps, batch, inputs)
    assert counted(net, x).total == expected


@pytest.mark.parametrize("cell", GATES)
def test_packed_sequences_count_valid_steps(cell: str) -> None:
    net = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](5, 8, batch_first=True)
    lengths = torch.tensor([6, 4, 1])
    packed = nn.utils.rnn.pack_padded_sequence(torch.zeros(3, 6, 5), lengths, batch_first=True)
    assert counted(net, packed).total == 2 * int(lengths.sum()) * GATES[cell] * 8 * (5 + 8)


@pytest.mark.parametrize(("cell", "batch", "layers", "ways"), grid(GATES, BATCHES, (1, 2), (1, 2)))
def test_our_recurrent_stack(cell: Any, batch: int, layers: int, ways: int) -> None:
    steps, inputs, hidden = 7, 5, 8
    net = Recurrent(inputs, hidden, cell, layers, bidirectional=ways == 2, dropout=0.0)
    widths = [inputs if layer == 0 else ways * hidden for layer in range(layers)]
    expected = sum(2 * batch * steps * GATES[cell] * hidden * (width + hidden) * ways for width in widths)
    found = counted(net, torch.zeros(batch, steps, inputs), torch.full((batch,), steps))
    assert found.total == expected
    assert found.layers["forwards.0"] == 2 * batch * steps * GATES[cell] * hidden * (inputs + hidden)


@pytest.mark.parametrize(("batch", "steps", "width"), grid(BATCHES, (1, 6), (4, 16)))
def test_attention_pooling(batch: int, steps: int, width: int) -> None:
    mask = torch.ones(batch, steps, dtype=torch.bool)
    expected = 2 * batch * steps * width * (width + 1)
    assert counted(AttentionPool(width), torch.zeros(batch, steps, width), mask).total == expected


@pytest.mark.parametrize(
    ("batch", "queries", "keys", "heads", "training"),
    grid(BATCHES, (1, 5), (1, 7), (1, 4), (True, False)),
)
def test_multi_head_attention(batch: int, queries: int, keys: int, heads: int, training: bool) -> None:
    """Four projections of width E, and the products of queries, keys and values."""
    width = 16
    net = nn.MultiheadAttention(width, heads, batch_first=True).train(training)
    query, key = torch.zeros(batch, queries, width), torch.zeros(batch, keys, width)
    projections = 2 * batch * width * width * (2 * queries + 2 * keys)
    products = 2 * 2 * batch * queries * keys * width
    for weights in (True, False):
        with torch.no_grad():
            found = count(net, lambda: net(query, key, key, need_weights=weights))  # noqa: B023
        assert (found.total, found.uncounted) == (projections + products, ())


def test_a_transformer_layer_in_evaluation_is_counted() -> None:
    """torch's fast path is one fused operator, which its counter does not support."""
    steps, width, inner = 5, 16, 32
    net = nn.TransformerEncoderLayer(width, 2, inner, batch_first=True).eval()
    expected = 8 * steps * width * width + 4 * steps * steps * width + 4 * steps * width * inner
    assert counted(net, torch.zeros(1, steps, width)).total == expected


@pytest.mark.parametrize(
    "head",
    [CosineLinear(9, 4, 30.0), ScaledLinear(nn.Linear(9, 4)), TauNormalisedLinear(nn.Linear(9, 4), 1.0)],
    ids=["cosine", "scaled", "tau"],
)
def test_heads(head: nn.Module) -> None:
    assert counted(head, torch.zeros(2, 9)).total == 2 * 2 * 9 * 4


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "mlp": (lambda: MLP(4, 1, (8, 8)), (torch.zeros(1, 1, 8, 8),)),
    "keras_cnn": (lambda: KerasCNN(10, 1, (28, 28)), (torch.zeros(1, 1, 28, 28),)),
    "cnn": (lambda: CNN(4, 3), (torch.zeros(1, 3, 16, 16),)),
    "resnet32": (lambda: ResNet(10, 3, 32), (torch.zeros(1, 3, 32, 32),)),
    "rnn": (
        lambda: RNN(4, 50, pooling="attention"),
        (torch.ones(1, 11, dtype=torch.long), torch.tensor([11])),
    ),
    "logmel_cnn": (lambda: LogMelCNN(4, 40), (torch.zeros(1, 1, 40, 30), torch.tensor([30]))),
    "crnn": (lambda: CRNN(4, 40), (torch.zeros(1, 1, 40, 30), torch.tensor([30]))),
    "m5": (lambda: M5(4, 8000), (torch.zeros(1, 1, 2000), torch.tensor([2000]))),
    "resnet18": (lambda: Torchvision(4, 3, "resnet18"), (torch.zeros(1, 3, 32, 32),)),
    "vit_b_16": (lambda: Torchvision(4, 3, "vit_b_16"), (torch.zeros(1, 3, 32, 32),)),
    "swin_t": (lambda: Torchvision(4, 3, "swin_t"), (torch.zeros(1, 3, 64, 64),)),
}


@pytest.mark.parametrize("name", NETS)
def test_every_layer_of_a_shipped_net_is_counted(name: str) -> None:
    make, inputs = NETS[name]
    net = make()
    found = counted(net.eval(), *inputs)
    matrices = {
        n for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.RNNBase)
    }
    inside = {f"{n}.out_proj" for n, m in net.named_modules() if isinstance(m, nn.MultiheadAttention)}
    by_hand = {
        n for n in matrices if n.endswith((".attn.qkv", ".attn.proj"))
    }  # Swin uses their weights itself
    assert matrices - inside - by_hand <= set(found.layers)


def test_published_numbers() -> None:
    """ResNet-32: 137.7 MFLOP, 464,154 parameters; the Keras lesson by hand; ViT-B/16: 17.6 billion products."""
    make, inputs = NETS["resnet32"]
    net = make()
    assert round(counted(net, *inputs).total / 1e6, 1) == 137.7
    assert sum(p.numel() for p in net.parameters()) == 464_154
    make, inputs = NETS["keras_cnn"]
    net = make()
    assert counted(net, *inputs).total == 2 * 9 * 32 * 26 * 26 + 2 * 26 * 26 * 32 * 10
    make, inputs = NETS["vit_b_16"]
    net = make()
    assert counted(net, *inputs).total / 2e9 == pytest.approx(17.56, abs=0.01)


def test_backward_counts_too() -> None:
    """Twice the forward pass, without the gradient of the input, which is not needed."""
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    x = torch.zeros(5, 6)
    found = count(net, lambda: net(x).sum().backward())
    forward = 2 * 5 * (6 * 8 + 8 * 3)
    assert found.total == 3 * forward - 2 * 5 * 6 * 8


class _Opaque(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return (x[:, None, :] * weight).sum(-1)


class Unseen(nn.Module):
    """A layer that computes its product element-wise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return _Opaque.apply(x, self.weight)  # type: ignore[no-any-return]


def test_an_uncounted_layer_is_listed() -> None:
    net = nn.Sequential(nn.Linear(4, 4), Unseen(), nn.LayerNorm((1, 3)))
    with torch.no_grad():
        found = count(net, lambda: net[:2](torch.zeros(1, 4)))
    assert found.uncounted == ("1",)
    assert found.layers == {"0": 32}


def test_torch_flags_are_restored() -> None:
    before = (
        torch.backends.mkldnn.enabled,
        torch.backends.cudnn.enabled,
        torch.backends.mha.get_fastpath_enabled(),
    )
    with pytest.raises(ZeroDivisionError):
        count(nn.LSTM(2, 2), lambda: 1 // 0)
    after = (
        torch.backends.mkldnn.enabled,
        torch.backends.cudnn.enabled,
        torch.backends.mha.get_fastpath_enabled(),
    )
    assert after == before
