"""Small nets for images of any size: multilayer perceptron, the CNN of a Keras tutorial, CNN with batch norm.

x float32 (B, in_channels, h, w) -> logits (B, num_outputs).
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

Width = Annotated[int, Ge(1)]
Dropout = Annotated[float, Ge(0), Lt(1)]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class MLP(nn.Module):
    """Fully connected layers over the flattened image; with `hidden=[]` a linear (logistic) model.

    norm: "batch" puts batch norm (Ioffe and Szegedy 2015) before every activation.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        image_size: tuple[int, int],
        hidden: Sequence[Width] = (256, 128),
        dropout: Dropout = 0.2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        super().__init__()
        self.feature_width = in_channels * image_size[0] * image_size[1]
        layers: list[nn.Module] = [nn.Flatten()]
        for width in hidden:
            layers.append(nn.Linear(self.feature_width, width, bias=norm == "none"))
            layers += [nn.BatchNorm1d(width)] if norm == "batch" else []
            layers += [_ACTIVATIONS[activation](), nn.Dropout(dropout)]
            self.feature_width = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(self.feature_width, num_outputs)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, feature_width)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, num_outputs)."""
        return self.head(self.features(x))


class KerasCNN(nn.Module):
    """The CNN of Keras' first tutorial: Conv2D(32, 3, "relu"), Flatten, Dense(num_outputs).

    Convolution without padding, and Keras' initialisation: Glorot-uniform weights (Glorot & Bengio 2010), zero biases.

    Raises:
        ValueError: images are smaller than 3 x 3.
    """

    def __init__(
        self, num_outputs: int, in_channels: int, image_size: tuple[int, int], filters: Width = 32
    ) -> None:
        super().__init__()
        height, width = image_size[0] - 2, image_size[1] - 2
        if min(height, width) < 1:
            raise ValueError(f"KerasCNN's 3 x 3 convolution needs images of at least 3 x 3, not {image_size}")
        self.feature_width = filters * height * width
        self.body = nn.Sequential(nn.Conv2d(in_channels, filters, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(self.feature_width, num_outputs)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, feature_width)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, num_outputs)."""
        return self.head(self.features(x))


class CNN(nn.Module):
    """Blocks of two 3 x 3 convolutions with batch norm, ReLU and 2 x 2 max pooling; global average or max pooling.

    In a block pooling precedes the second batch norm, which is a tenth faster than after the ReLU. It rounds sizes up,
    so images never shrink below 1 x 1.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        widths: Annotated[Sequence[Width], MinLen(1)] = (16, 32, 64),
        dropout: Dropout = 0.1,
        pooling: Literal["mean", "max"] = "mean",
    ) -> None:
        super().__init__()
        self.feature_width = widths[-1]
        pool = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}[pooling](1)
        blocks = [_block(a, b) for a, b in zip([in_channels, *widths[:-1]], widths, strict=True)]
        self.body = nn.Sequential(*blocks, pool, nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(self.feature_width, num_outputs)
        # A third faster on a CPU, and preferred by tensor cores; activations adopt the layout of the weights.
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, feature_width)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, num_outputs)."""
        return self.head(self.features(x))


def _block(inputs: int, width: int) -> nn.Sequential:
    """(B, inputs, h, w) -> (B, width, ceil(h/2), ceil(w/2))."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
