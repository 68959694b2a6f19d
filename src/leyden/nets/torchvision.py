"""Any image classifier of torchvision by name, with or without its ImageNet weights.

x float32 (B, in_channels, h, w) -> logits (B, num_outputs). The net's last linear layer (SqueezeNet's last
convolution) is removed: its inputs are the features, and `head` is a new linear layer on them.
"""

from difflib import get_close_matches
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

# Smallest side, in pixels, that the strides and pools of a family accept (tested on the meta device).
_LEAST = {
    "alexnet": 64,
    "convnext": 32,
    "densenet": 32,
    "googlenet": 16,
    "inception": 75,
    "squeezenet": 24,
    "vgg": 32,
}
_MAXVIT_SIDE = 224  # its windows are fixed when it is built; a ViT has the attribute image_size


class Torchvision(nn.Module):
    """A classifier of torchvision with a head for `num_outputs` and a first convolution for `in_channels`.

    weights: "none": random initialisation; "default": torchvision's best ImageNet weights (downloaded once).
    resize: side to which images are scaled bilinearly; 0 keeps their size, but enlarges images below the smallest
        size of the net, and always scales to the fixed size of ViT and MaxViT.
    stem: "own": as torchvision has it; "small": of a ResNet whose images are small, such as 32 x 32 pixels, a first
        convolution of 3 x 3 and stride 1, and no pooling after it (He et al. 2016, section 4.2, as Chen et al. 2020,
        appendix B.9, with ResNets of ImageNet).
    in_channels other than 3: untrained filters repeat the three channels cyclically. Pretrained ones as well, scaled
        by 3 / in_channels to preserve the scale of activations; for a single channel the three are summed, which is
        equivalent to the net on a greyscale image as RGB.

    Raises:
        ValueError: torchvision has no classifier of that name, or the net does not accept the size `resize`, or stem
            "small" of another net than a ResNet, or with weights.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        name: str = "resnet18",
        weights: Literal["none", "default"] = "none",
        resize: Annotated[int, Ge(0)] = 0,
        stem: Literal["own", "small"] = "own",
    ) -> None:
        super().__init__()
        if stem == "small" and weights != "none":  # before they are downloaded
            raise ValueError(
                "stem=small has another first convolution than the weights have: use weights=none, or stem=own"
            )
        self.trunk = _classifier(name, pretrained=weights == "default")
        if stem == "small":
            _make_stem_small(self.trunk, name)
        _drop_auxiliary(self.trunk)
        if in_channels != 3:
            _adapt_stem(self.trunk, in_channels, pretrained=weights == "default")
        self.feature_width = _detach_head(self.trunk)
        self.head = nn.Linear(self.feature_width, num_outputs)
        self.least = next((side for family, side in _LEAST.items() if name.startswith(family)), 1)
        fixed = getattr(self.trunk, "image_size", _MAXVIT_SIDE if name.startswith("maxvit") else 0)
        if resize and (resize < self.least or fixed not in (0, resize)):
            need = f"exactly {fixed}" if fixed else f"at least {self.least}"
            raise ValueError(
                f"{name} needs images of side {need}, got resize={resize}; resize=0 selects a size"
            )
        self.side = resize or fixed

    def features(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, feature_width)."""
        height, width = x.shape[-2:]
        size = (self.side, self.side) if self.side else (max(height, self.least), max(width, self.least))
        if size != (height, width):
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, num_outputs)."""
        return self.head(self.features(x))


def _classifier(name: str, pretrained: bool) -> nn.Module:
    """torchvision's unmodified model of that name."""
    import torchvision.models as models  # imported here: it takes a second, which other runs need not wait

    names = models.list_models(module=models)
    if name not in names:
        close = get_close_matches(name, names, n=1, cutoff=0)[0]
        raise ValueError(
            f"torchvision has no classifier {name!r}: did you mean {close!r}? There are: {', '.join(names)}"
        )
    options: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None}
    if not pretrained and name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    return models.get_model(name, **options)


def _drop_auxiliary(trunk: nn.Module) -> None:
    """Remove the auxiliary classifiers of GoogLeNet and Inception, which return tuples in training."""
    for name, nothing in {"aux_logits": False, "aux1": None, "aux2": None, "AuxLogits": None}.items():
        if hasattr(trunk, name):
            setattr(trunk, name, nothing)


def _make_stem_small(trunk: nn.Module, name: str) -> None:
    """Replace a ResNet's first convolution, and drop the pooling after it."""
    if not hasattr(trunk, "maxpool") or not hasattr(trunk, "layer4"):
        raise ValueError(f"stem=small is for ResNets, which {name} is not; use stem=own, or name=resnet18")
    trunk.conv1 = nn.Conv2d(3, trunk.conv1.out_channels, 3, padding=1, bias=False)  # type: ignore[union-attr, arg-type]
    nn.init.kaiming_normal_(trunk.conv1.weight, mode="fan_out", nonlinearity="relu")
    trunk.maxpool = nn.Identity()


def _adapt_stem(trunk: nn.Module, in_channels: int, pretrained: bool) -> None:
    """Change the first convolution to `in_channels` inputs, with weights from its three input channels."""
    old = next(m for m in trunk.modules() if isinstance(m, nn.Conv2d))
    weight = old.weight.detach()[:, torch.arange(in_channels) % 3]
    if pretrained:
        weight = old.weight.detach().sum(1, keepdim=True) if in_channels == 1 else weight * (3 / in_channels)
    old.in_channels, old.weight = in_channels, nn.Parameter(weight)
    for name in {"transform_input"} & vars(trunk).keys():  # Inception renormalises R, G and B itself
        setattr(trunk, name, False)


def _detach_head(trunk: nn.Module) -> int:
    """Replace the last layer by the identity; returns the width of its input."""
    layers = [(path, m) for path, m in trunk.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    path, last = next((x for x in reversed(layers) if isinstance(x[1], nn.Linear)), layers[-1])
    parent, _, leaf = path.rpartition(".")
    setattr(trunk.get_submodule(parent), leaf, nn.Identity())
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels
