"""Nets for speech: log-mel (B, 1, bins, frames) -> logits of frames (B, T', num_outputs), about one for four.

Values beyond a recording's length are set to zero before every convolution, so that in evaluation mode padding does
not change the logits; those beyond `output_lengths` are zero. `lengths` int64 (B,) counts frames.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.nets.layers import Recurrent, halved, length_mask, zero_padding

Width = Annotated[int, Ge(1)]
Dropout = Annotated[float, Ge(0), Lt(1)]
STRIDE = 2  # of each convolution over time


class SpeechState(NamedTuple):
    """What a streaming net keeps between two stretches of frames: last inputs of each convolution, states of cells."""

    inputs: list[Tensor]
    cells: list[Any]


class SpeechRNN(nn.Module):
    """Convolutions over time that halve it, then a GRU or LSTM in both directions; a linear layer on each frame.

    streaming: nothing is read ahead: convolutions see the past alone, the recurrent layers go forwards, and `stretch`
    continues where it stopped; the same logits as for the whole recording come out.

    Args:
        num_outputs: units with the blank.
        bins: mel bins, the channels of the first convolution.
        widths: channels of each convolution; each halves the frames.
        kernel: frames that a convolution sees.
        hidden: of the recurrent layers, in each direction.
        layers: of them.
        cell: their kind.
        dropout: before each recurrent layer and before the last linear one.
        streaming: see above.
    """

    def __init__(
        self,
        num_outputs: int,
        bins: int,
        widths: Annotated[Sequence[Width], MinLen(1)] = (96, 96),
        kernel: Annotated[int, Ge(2)] = 5,
        hidden: Width = 96,
        layers: Annotated[int, Ge(1)] = 1,
        cell: Literal["gru", "lstm"] = "gru",
        dropout: Dropout = 0.1,
        streaming: bool = False,
    ) -> None:
        super().__init__()
        pairs = zip([bins, *widths[:-1]], widths, strict=True)
        self.blocks = nn.ModuleList(TimeBlock(a, b, kernel, streaming) for a, b in pairs)
        self.recurrent = Recurrent(widths[-1], hidden, cell, layers, not streaming, dropout)
        self.dropout = nn.Dropout(dropout)
        self.feature_width = self.recurrent.width
        self.head = nn.Linear(self.feature_width, num_outputs)
        self.streaming = streaming

    @property
    def subsampling(self) -> int:
        """How many input frames one output frame stands for."""
        return int(STRIDE ** len(self.blocks))

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """int64 (B,): frames of the logits, rounded up; an empty recording counts as one frame."""
        lengths = lengths.clamp(min=1)
        for _ in self.blocks:
            lengths = halved(lengths, STRIDE)
        return lengths

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel (B, 1, bins, frames) -> (B, T', feature_width)."""
        x, lengths = zero_padding(x.squeeze(1), lengths.clamp(min=1)), lengths.clamp(min=1)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        steps = self.dropout(x.transpose(1, 2))
        found: Tensor = self.dropout(self.recurrent(steps, lengths))
        return found

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Log-mel (B, 1, bins, frames) -> logits (B, T', num_outputs), 0 beyond each sample's frames."""
        logits = self.head(self.features(x, lengths))
        inside = length_mask(self.output_lengths(lengths), logits.shape[1])
        return logits.masked_fill(~inside[:, :, None], 0)

    def stretch(self, x: Tensor, state: SpeechState | None = None) -> tuple[Tensor, SpeechState]:
        """Frames (B, 1, bins, n) after those before -> logits (B, n / subsampling, num_outputs), and the state.

        Args:
            x: of recordings side by side; n a multiple of `subsampling`, but at their end.
            state: after the stretch before; None: there is none.

        Raises:
            ValueError: a net that is not streaming reads ahead; it was trained so.
        """
        if not self.streaming:
            raise ValueError("this net reads ahead; train one with model.net.streaming=true")
        x, blocks = x.squeeze(1), cast("list[TimeBlock]", list(self.blocks))
        if state is None:
            silent = [block.silence(x) for block in blocks]
            state = SpeechState(silent, [None] * len(self.recurrent.forwards))
        kept = []
        for block, before in zip(blocks, state.inputs, strict=True):
            x, last = block.stretch(x, before)
            kept.append(last)
        steps, cells = self.recurrent.step(self.dropout(x.transpose(1, 2)), state.cells)
        return self.head(self.dropout(steps)), SpeechState(kept, cells)


class TimeBlock(nn.Module):
    """Convolution over time with stride 2, batch norm, ReLU; `causal`: of this frame and those before it."""

    def __init__(self, inputs: int, width: int, kernel: int, causal: bool) -> None:
        super().__init__()
        before = kernel - 1 if causal else (kernel - 1) // 2
        # kernel - 1 in total: then n frames give ceil(n / stride) outputs, wherever the padding begins
        self.pad = (before, kernel - 1 - before)
        self.conv = nn.Conv1d(inputs, width, kernel, stride=STRIDE)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs, T), zero beyond the lengths -> (B, width, ceil(T / 2)), the same, and the new lengths."""
        lengths = halved(lengths, STRIDE)
        return zero_padding(self._activated(F.pad(x, self.pad)), lengths), lengths

    def _activated(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))

    def silence(self, x: Tensor) -> Tensor:
        """What comes before the first frame: zeros (B, inputs, kernel - 1)."""
        return x.new_zeros(x.shape[0], self.conv.in_channels, self.pad[0])

    def stretch(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """A stretch (B, inputs, n), n even but at the end, after `before` -> its outputs, and its own last inputs."""
        x = torch.cat([before, x], dim=2)
        return self._activated(x), x[:, :, x.shape[2] - self.pad[0] :]
