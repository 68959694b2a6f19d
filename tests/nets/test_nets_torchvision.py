"""torchvision's classifiers: shapes on the meta device, a few forward passes; pretrained weights are simulated."""

from typing import Any

import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models import get_model, list_models

from leyden.nets.torchvision import Torchvision

EVERY = list_models(module=torchvision.models)
# RegNets compute their widths with tensors, which the meta device cannot do; these are run for real instead.
META = [name for name in EVERY if not name.startswith("regnet")]
# One of each family and size class; the other names are depths and widths of the same code.
QUICK = [
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet"),
    *(
        "inception_v3",
        "maxvit_t",
        "mnasnet0_5",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "resnet18",
        "resnext50_32x4d",
    ),
    *("shufflenet_v2_x0_5", "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn"),
    *("vit_b_16", "vit_b_32", "wide_resnet50_2"),
]


def on_meta(name: str) -> None:
    with torch.device("meta"):
        net = Torchvision(num_outputs=7, in_channels=1, name=name).eval()
        x = torch.empty(2, 1, 28, 28)
        features, logits = net.features(x), net(x)
    assert features.shape == (2, net.feature_width)
    assert logits.shape == (2, 7)
    # The trunk has lost its logits: nothing of the 1000 ImageNet classes is left.
    assert not any(isinstance(m, nn.Linear) and m.out_features == 1000 for m in net.trunk.modules())


def test_torchvision_has_the_tested_classifiers() -> None:
    assert len(EVERY) >= 80
    assert len(META) >= 65
    assert len(QUICK) >= 20
    assert set(QUICK) <= set(META)


@pytest.mark.parametrize("name", QUICK)
def test_one_of_each_family(name: str) -> None:
    on_meta(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in META if name not in QUICK])
def test_all_other_classifiers(name: str) -> None:
    on_meta(name)


@pytest.mark.parametrize("name", ["regnet_x_400mf", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet"])
def test_trains_on_small_grey_images(name: str) -> None:
    torch.manual_seed(0)
    net = Torchvision(num_outputs=3, in_channels=1, name=name).train()
    logits = net(torch.randn(4, 1, 28, 28))
    assert logits.shape == (4, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_misspelt_name_suggests_the_closest() -> None:
    with pytest.raises(ValueError, match="'resnt18': did you mean 'resnet18'"):
        Torchvision(3, 3, name="resnt18")


@pytest.mark.parametrize(
    ("name", "resize", "need"), [("vit_b_16", 128, "exactly 224"), ("alexnet", 32, "at least 64")]
)
def test_an_impossible_size_is_refused(name: str, resize: int, need: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=need):
        Torchvision(3, 3, name=name, resize=resize)


def test_resize_scales_the_images() -> None:
    net = Torchvision(3, 3, name="resnet18", resize=64).eval()
    seen: list[torch.Size] = []
    net.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    net(torch.randn(1, 3, 20, 30))
    assert seen == [(1, 3, 64, 64)]


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Simulated pretrained weights in place of a download; filled by each test."""
    weights: dict[str, Any] = {}
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", lambda *_, **__: weights)
    return weights


@pytest.mark.parametrize(("channels", "scale"), [(1, 1.0), (2, 1.5), (3, 1.0), (5, 0.6)])
def test_pretrained_weights_are_kept_and_the_stem_adapted(
    pretrained: dict[str, Any], channels: int, scale: float
) -> None:
    source = get_model("resnet18", weights=None)
    pretrained.update(source.state_dict())
    net = Torchvision(4, channels, weights="default")
    stem = source.conv1.weight
    expected = (
        stem.sum(1, keepdim=True) if channels == 1 else stem[:, [i % 3 for i in range(channels)]] * scale
    )
    torch.testing.assert_close(net.trunk.conv1.weight, expected)
    assert net.trunk.conv1.in_channels == channels
    assert torch.equal(net.trunk.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_a_greyscale_image_equals_rgb(pretrained: dict[str, Any]) -> None:
    source = get_model("resnet18", weights=None).eval()
    pretrained.update(source.state_dict())
    net = Torchvision(4, 1, weights="default").eval()
    source.fc = nn.Identity()
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net.features(x), source(x.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_pretrained_nets_lose_their_auxiliary_classifiers(pretrained: dict[str, Any], name: str) -> None:
    pretrained.update(get_model(name, weights=None, aux_logits=True, init_weights=False).state_dict())
    net = Torchvision(4, 1, name=name, weights="default").train()
    assert net(torch.randn(2, 1, 80, 80)).shape == (2, 4)
    assert not any("aux" in key.lower() for key in net.state_dict())
    assert not net.trunk.transform_input


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "wide_resnet50_2"])
def test_the_stem_of_a_resnet_can_be_small(name: str) -> None:
    with torch.device("meta"):
        net = Torchvision(num_outputs=7, in_channels=1, name=name, stem="small").eval()
        assert net(torch.empty(2, 1, 32, 32)).shape == (2, 7)
        maps: list[torch.Tensor] = []
        net.trunk.get_submodule("layer1").register_forward_hook(lambda *given: maps.append(given[2]))
        net(torch.empty(2, 1, 32, 32))
    assert maps[0].shape[-2:] == (32, 32)  # no pixel is lost before the first stage
    first: Any = net.trunk.get_submodule("conv1")
    assert (first.kernel_size, first.stride, first.in_channels) == ((3, 3), (1, 1), 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "vgg11"}, "stem=small is for ResNets, which vgg11 is not"),
        ({"weights": "default"}, "another first convolution than the weights have"),
    ],
)
def test_a_small_stem_is_refused_elsewhere(
    options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leyden.nets import torchvision as module

    monkeypatch.setattr(module, "_classifier", lambda name, pretrained: get_model(name))  # without a download
    with pytest.raises(ValueError, match=said):
        Torchvision(num_outputs=2, in_channels=3, stem="small", **options)
