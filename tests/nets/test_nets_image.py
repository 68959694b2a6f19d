"""Image nets: sizes, parameter counts and initialisation of papers and of Keras."""

import pytest
import torch
from torch import nn

from leyden.nets.image import CNN, MLP, KerasCNN
from leyden.nets.resnet import BasicBlock, ResNet


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (32, 464_154), (56, 853_018)])
def test_resnet_has_the_published_number_of_parameters(depth: int, count: int) -> None:
    net = ResNet(10, 3, depth=depth)
    assert parameters(net) == count
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == depth


def test_resnet_starts_he_normal() -> None:
    torch.manual_seed(0)
    for layer in ResNet(100, 3).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            expected = (2 / layer.weight[0].numel()) ** 0.5
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.15)


def test_option_a_shortcut_takes_every_second_pixel_and_pads_channels() -> None:
    x = torch.randn(2, 16, 9, 9)
    y = BasicBlock(16, 32).shortcut(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (8, 8), (28, 28), (32, 48), (64, 64)])
@pytest.mark.parametrize("cls", [CNN, ResNet])
def test_any_image_size(cls: type[nn.Module], size: tuple[int, int]) -> None:
    net = cls(num_outputs=3, in_channels=2).eval()
    assert net(torch.randn(2, 2, *size)).shape == (2, 3)


def test_deep_cnn_never_shrinks_to_nothing() -> None:
    net = CNN(3, 1, widths=[4] * 7).eval()
    assert net(torch.randn(2, 1, 8, 8)).shape == (2, 3)


def test_cnn_pools_the_mean_or_the_maximum() -> None:
    net, x = CNN(3, 1, pooling="max").eval(), torch.randn(2, 1, 12, 12)
    maps = net.body[:3](x)  # three blocks
    assert torch.equal(net.features(x), maps.amax((2, 3)))
    net = CNN(3, 1).eval()
    assert torch.allclose(net.features(x), net.body[:3](x).mean((2, 3)), atol=1e-6)


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((8, 6), 3)])
def test_keras_cnn_is_what_keras_builds(size: tuple[int, int], channels: int) -> None:
    torch.manual_seed(0)
    net = KerasCNN(10, channels, size)
    width = 32 * (size[0] - 2) * (size[1] - 2)
    assert net.feature_width == width
    assert parameters(net) == 32 * (9 * channels + 1) + 10 * (width + 1)
    # Keras: fans are the receptive field times channels in and out.
    for weight, fans in [(net.body[0].weight, 9 * (channels + 32)), (net.head.weight, width + 10)]:
        bound = (6 / fans) ** 0.5
        assert 0.95 * bound < float(weight.detach().abs().max()) <= bound
    assert not net.body[0].bias.any()
    assert not net.head.bias.any()


def test_keras_cnn_refuses_images_below_3_pixels() -> None:
    with pytest.raises(ValueError, match="at least 3 x 3"):
        KerasCNN(10, 1, (2, 28))


def test_mlp_without_hidden_layers_is_linear() -> None:
    net = MLP(4, 1, (5, 6), hidden=[])
    x, y = torch.randn(2, 1, 1, 5, 6)
    assert parameters(net) == 4 * (30 + 1)
    torch.testing.assert_close(net(x) + net(y) - net(torch.zeros_like(x)), net(x + y))


@pytest.mark.parametrize(
    ("activation", "layer"), [("relu", nn.ReLU), ("gelu", nn.GELU), ("silu", nn.SiLU), ("tanh", nn.Tanh)]
)
def test_mlp_has_the_configured_layers(activation: str, layer: type[nn.Module]) -> None:
    net = MLP(4, 3, (8, 8), hidden=[20, 10], activation=activation, dropout=0.5)
    assert [m.out_features for m in net.body if isinstance(m, nn.Linear)] == [20, 10]
    assert sum(isinstance(m, layer) for m in net.body) == 2
    assert net.feature_width == 10


def test_mlp_with_batch_norm_before_every_activation() -> None:
    net = MLP(4, 1, (5, 6), hidden=[20, 10], norm="batch", dropout=0.0)
    kinds = [type(layer).__name__ for layer in net.body]
    assert kinds == ["Flatten", *["Linear", "BatchNorm1d", "ReLU", "Dropout"] * 2]
    assert all(layer.bias is None for layer in net.body if isinstance(layer, nn.Linear))
    assert net(torch.randn(3, 1, 5, 6)).shape == (3, 4)
