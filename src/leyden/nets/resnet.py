"""Residual nets for CIFAR, as used in long-tail papers: ResNet-20, -32, -56 (He+ 2016, section 4.2).

x float32 (B, in_channels, h, w) -> logits (B, num_outputs). As in LDAM-DRW (Cao+ 2019), to compare
with its results: shortcuts without parameters (option A), He-normal convolution and linear weights (He+ 2015).
"""

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F


class ResNet(nn.Module):
    """Three stages of (depth - 2) / 6 basic blocks of width, 2 width and 4 width; global average pooling; linear layer.

    Depth 32 has 464,154 parameters for 3 channels and 10 classes. Any image size: strides round up.
    """

    def __init__(
        self,
        num_outputs: int,
        in_channels: int,
        depth: Literal[20, 32, 56] = 32,
        width: Annotated[int, Ge(1)] = 16,
    ) -> None:
        super().__init__()
        self.feature_width = 4 * width
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        inputs = width
        for outputs in (width, 2 * width, 4 * width):
            for _ in range((depth - 2) // 6):
                layers.append(BasicBlock(inputs, outputs))
                inputs = outputs
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(self.feature_width, num_outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, feature_width)."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> logits (B, num_outputs)."""
        return self.head(self.features(x))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; the first has stride 2 if the width grows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.pad = (outputs - inputs) // 2  # channels of zeros on either side
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def shortcut(self, x: Tensor) -> Tensor:
        """Option A shortcut: every second pixel, new channels are zero; (B, inputs, h, w) -> shape of the output."""
        if self.stride == 1:
            return x
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, ceil(h / stride), ceil(w / stride))."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))
