"""Nets for audio: on log-mel spectrograms (`LogMelCNN`, `CRNN`) and on waveforms (`M5`).

Recordings in a batch differ in length. Values beyond the length of a recording are set to zero before the first and
after every convolution, so that in evaluation mode padding does not change the logits. Pooling rounds up, so no
recording is too short. `lengths` int64 (B,) counts frames, for M5 samples; an empty recording counts as one zero.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.nets.layers import (
    Recurrent,
    SequencePool,
    halved,
    length_mask,
    masked_max,
    masked_mean,
    zero_padding,
)

Width = Annotated[int, Ge(1)]
Dropout = Annotated[float, Ge(0), Lt(1)]


class LogMelCNN(nn.Module):
    """Blocks of 3 x 3 convolution, batch norm, ReLU and 2 x 2 max pooling; then mean and maximum over time.

    The remaining mel bins are separate features: the frequency of a formant matters.
    """

    def __init__(
        self,
        num_outputs: int,
        bins: int,
        widths: Annotated[Sequence[Width], MinLen(1)] = (16, 32, 64, 128),
        dropout: Dropout = 0.3,
    ) -> None:
        super().__init__()
        pairs = zip([1, *widths[:-1]], widths, strict=True)
        self.blocks = nn.ModuleList(SpectrumBlock(a, b, time=2) for a, b in pairs)
        self.feature_width = 2 * widths[-1] * _pooled_bins(bins, len(widths))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.feature_width, num_outputs)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel (B, 1, bins, frames) -> (B, feature_width)."""
        steps, lengths = _spectrum_steps(self.blocks, x, lengths)
        mask = length_mask(lengths, steps.shape[1])
        return self.dropout(torch.cat([masked_mean(steps, mask), masked_max(steps, mask)], dim=1))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel (B, 1, bins, frames) -> logits (B, num_outputs)."""
        return self.head(self.features(x, lengths))


class CRNN(nn.Module):
    """Convolutional blocks, a bidirectional GRU over time, attention or mean pooling (Choi+ 2017).

    Only the first two blocks halve the time axis, to leave enough steps for the GRU; every block halves the bins.
    """

    TIME_POOLS = 2

    def __init__(
        self,
        num_outputs: int,
        bins: int,
        widths: Annotated[Sequence[Width], MinLen(1)] = (16, 32, 64),
        hidden: Width = 64,
        layers: Annotated[int, Ge(1)] = 1,
        dropout: Dropout = 0.3,
        pooling: Literal["mean", "attention"] = "attention",
    ) -> None:
        super().__init__()
        pairs = enumerate(zip([1, *widths[:-1]], widths, strict=True))
        self.blocks = nn.ModuleList(
            SpectrumBlock(a, b, time=2 if i < self.TIME_POOLS else 1) for i, (a, b) in pairs
        )
        inputs = widths[-1] * _pooled_bins(bins, len(widths))
        self.recurrent = Recurrent(inputs, hidden, "gru", layers, bidirectional=True, dropout=dropout)
        self.pool = SequencePool(pooling, self.recurrent.width)
        self.dropout = nn.Dropout(dropout)
        self.feature_width = self.recurrent.width
        self.head = nn.Linear(self.feature_width, num_outputs)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel (B, 1, bins, frames) -> (B, feature_width)."""
        steps, lengths = _spectrum_steps(self.blocks, x, lengths)
        outputs = self.recurrent(self.dropout(steps), lengths)
        return self.dropout(self.pool(self.recurrent, outputs, lengths))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel (B, 1, bins, frames) -> logits (B, num_outputs)."""
        return self.head(self.features(x, lengths))


class M5(nn.Module):
    """Five weight layers on the raw waveform (Dai+ 2017, arXiv:1610.00087).

    The first filters span 10 ms with a stride of 0.5 ms at any sample rate: 80 and 4 samples at 8 kHz (the paper).
    """

    FILTER_SECONDS = 0.01
    STRIDE_SECONDS = 0.0005
    POOL = 4

    def __init__(
        self, num_outputs: int, sample_rate: int, width: Width = 128, dropout: Dropout = 0.0
    ) -> None:
        super().__init__()
        stride = max(1, round(sample_rate * self.STRIDE_SECONDS))
        filters = max(stride, round(sample_rate * self.FILTER_SECONDS))
        pairs = [(1, width), (width, width), (width, 2 * width), (2 * width, 4 * width)]
        self.blocks = nn.ModuleList(
            WaveBlock(a, b, *((filters, stride) if a == 1 else (3, 1)), self.POOL) for a, b in pairs
        )
        self.feature_width = 4 * width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.feature_width, num_outputs)

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms (B, 1, T) -> (B, feature_width)."""
        lengths = lengths.clamp(min=1)
        x = zero_padding(x, lengths)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return self.dropout(masked_mean(x.transpose(1, 2), length_mask(lengths, x.shape[2])))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms (B, 1, T) -> logits (B, num_outputs)."""
        return self.head(self.features(x, lengths))


class SpectrumBlock(nn.Module):
    """Convolution 3 x 3, batch norm, ReLU, mask, max pooling by 2 over bins and by `time` over frames."""

    def __init__(self, inputs: int, width: int, time: int) -> None:
        super().__init__()
        self.time = time
        self.conv = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d((2, time), ceil_mode=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, bins, frames), zero beyond the lengths -> (B, width, bins / 2, frames / time) and the lengths."""
        x = zero_padding(F.relu(self.norm(self.conv(x))), lengths)
        # Padding is zero, which never exceeds a ReLU's output: max pooling may include it.
        return self.pool(x), halved(lengths, self.time)


class WaveBlock(nn.Module):
    """Convolution, batch norm, ReLU, mask and max pooling along time; lengths are rounded up."""

    def __init__(self, inputs: int, width: int, filters: int, stride: int, pool: int) -> None:
        super().__init__()
        left = (filters - stride) // 2
        # filters - 1 in total: then n samples give ceil(n / stride) outputs, wherever the padding begins.
        self.pad = (left, filters - 1 - left)
        self.conv = nn.Conv1d(inputs, width, filters, stride=stride, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.pool = nn.MaxPool1d(pool, ceil_mode=True)
        self.stride, self.factor = stride, pool

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, T), zero beyond the lengths -> (B, width, steps) and the new lengths."""
        lengths = halved(lengths, self.stride)
        x = zero_padding(F.relu(self.norm(self.conv(F.pad(x, self.pad)))), lengths)
        return self.pool(x), halved(lengths, self.factor)


def _pooled_bins(bins: int, pools: int) -> int:
    """Number of mel bins after halving them, rounding up, `pools` times."""
    return -(-bins // 2**pools)


def _spectrum_steps(blocks: nn.ModuleList, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Log-mel (B, 1, bins, frames) through the blocks -> (B, steps, channels * remaining bins), lengths."""
    lengths = lengths.clamp(min=1)
    x = zero_padding(x, lengths)
    for block in blocks:
        x, lengths = block(x, lengths)
    return x.permute(0, 3, 1, 2).flatten(2), lengths
