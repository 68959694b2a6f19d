"""Recurrent nets for text: token ids int64 (B, T), 0 is padding, and lengths int64 (B,) -> logits (B, C)."""

from typing import Annotated

from annotated_types import Ge, Lt
from torch import Tensor, nn

from leyden.nets.layers import Cell, Pooling, Recurrent, SequencePool


class RNN(nn.Module):
    """Embedding, recurrent layers, pooling, linear layer. Padding does not change the logits in evaluation mode.

    pooling: "last": final state of each direction; "mean" and "max" over the tokens of the text; "attention": weighted
        mean (Yang+ 2016).
    dropout: rate of dropout on the embeddings, between layers and before the head.
    A text without tokens counts as one token of padding, whose embedding is zero.
    """

    def __init__(
        self,
        num_outputs: int,
        vocab_size: int,
        cell: Cell = "lstm",
        bidirectional: bool = True,
        layers: Annotated[int, Ge(1)] = 1,
        embedding: Annotated[int, Ge(1)] = 64,
        hidden: Annotated[int, Ge(1)] = 64,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.3,
        pooling: Pooling = "max",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=0)
        self.recurrent = Recurrent(embedding, hidden, cell, layers, bidirectional, dropout)
        self.pool = SequencePool(pooling, self.recurrent.width)
        self.dropout = nn.Dropout(dropout)
        self.feature_width = self.recurrent.width
        self.head = nn.Linear(self.feature_width, num_outputs)

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Ids (B, T) -> (B, feature_width)."""
        return self.from_embedded(self.embedding(x), lengths)

    def from_embedded(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Embedded tokens (B, T, embedding) -> (B, feature_width): entry point for token attributions."""
        lengths = lengths.clamp(min=1)
        outputs = self.recurrent(self.dropout(embedded), lengths)
        return self.dropout(self.pool(self.recurrent, outputs, lengths))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Ids (B, T) -> logits (B, num_outputs)."""
        return self.head(self.features(x, lengths))
