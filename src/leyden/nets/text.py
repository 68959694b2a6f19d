"""Recurrent nets for text: token ids int64 (B, T), 0 is padding, and lengths int64 (B,) -> logits (B, C)."""

from collections.abc import Iterator
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from leyden.nets.layers import Cell, Pooling, Recurrent, SequencePool, length_mask

# Standard deviation of the embeddings of n-grams: small beside the state, until they are trained.
_BAG_SCALE = 0.1
_BASE, _PRIME = 1_000_003, (1 << 31) - 1


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


class NgramRNN(RNN):
    """A recurrent net beside a bag of n-grams of tokens: order and long contexts, and single tokens and short phrases.

    The bag is the sum of the embeddings of the text's distinct n-grams, divided by the root of their number (fastText,
    Joulin+ 2017; that each counts once: Wang and Manning 2012). An n-gram's row in the table of embeddings is its hash.
    The head gets the pooled state and the bag; `from_embedded` gives the state alone.

    ngrams: longest n-gram, in tokens; from single tokens on.
    buckets: rows of the table: n-grams that share one share an embedding.
    bag: width of the bag.
    Other arguments as RNN's; dropout is applied to the bag, too.
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
        ngrams: Annotated[int, Ge(1)] = 2,
        buckets: Annotated[int, Ge(1)] = 16384,
        bag: Annotated[int, Ge(1)] = 16,
    ) -> None:
        super().__init__(
            num_outputs, vocab_size, cell, bidirectional, layers, embedding, hidden, dropout, pooling
        )
        self.ngrams = ngrams
        self.bag = nn.Embedding(buckets, bag)
        nn.init.normal_(self.bag.weight, std=_BAG_SCALE)
        self.feature_width += bag
        self.head = nn.Linear(self.feature_width, num_outputs)

    def features(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Ids (B, T) -> (B, feature_width)."""
        return torch.cat([super().features(x, lengths), self.dropout(self._bag(x, lengths))], dim=1)

    def _bag(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Ids (B, T) -> (B, bag)."""
        hashes = torch.cat([*ngram_hashes(x, lengths, self.ngrams)], dim=1).sort(dim=1).values
        repeated = F.pad(hashes[:, 1:] == hashes[:, :-1], (1, 0))
        counts = (hashes >= 0) & ~repeated
        embedded = self.bag(hashes.clamp(min=0) % self.bag.num_embeddings)
        return embedded.masked_fill(~counts[..., None], 0).sum(1) / counts.sum(1).clamp(min=1).sqrt()[:, None]


def ngram_hashes(ids: Tensor, lengths: Tensor, longest: int) -> Iterator[Tensor]:
    """Ids int64 (B, T) -> for n of 1 to `longest` int64 (B, T - n + 1): a hash of the n ids from each place on.

    -1 where they reach into the padding. Polynomial, modulo the prime 2^31 - 1, so that no product leaves 64 bits and
    every device gives the same.
    """
    hashes = torch.zeros_like(ids)
    for n in range(1, min(longest, ids.shape[1]) + 1):
        steps = ids.shape[1] - n + 1
        hashes = (hashes[:, :steps] * _BASE + ids[:, n - 1 :] + 1) % _PRIME
        yield hashes.masked_fill(~length_mask(lengths - (n - 1), steps), -1)
