"""A net for numbers and categories of a table's row."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt, MinLen
from torch import Tensor, nn

Width = Annotated[int, Ge(1)]


class TableMLP(nn.Module):
    """Fully connected layers over standardised numbers, whether each is there, and an embedding of each category.

    Args:
        numbers: names of the columns that are numbers; the first of a row.
        categories: names of the values of each further column.
        num_outputs: classes, labels or values.
        hidden: widths of the layers.
        embedding: width of a category's embedding.
        dropout: after each layer.
    """

    def __init__(
        self,
        num_outputs: int,
        numbers: Sequence[str],
        categories: Mapping[str, Sequence[str]],
        hidden: Annotated[Sequence[Width], MinLen(1)] = (64, 32),
        embedding: Width = 8,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    ) -> None:
        super().__init__()
        self.numbers = len(numbers)
        self.embeddings = nn.ModuleList(
            nn.Embedding(len(names) + 1, embedding) for names in categories.values()
        )
        widths = [2 * len(numbers) + embedding * len(categories), *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.feature_width = widths[-1]
        self.head = nn.Linear(self.feature_width, num_outputs)

    def features(self, x: Tensor) -> Tensor:
        """(B, numbers + categories), NaN where a number is missing -> (B, feature_width)."""
        numbers, places = x[:, : self.numbers], x[:, self.numbers :].long()
        embedded: list[Any] = [e(places[:, i]) for i, e in enumerate(self.embeddings)]
        there = ~numbers.isnan()
        return self.body(torch.cat([numbers.nan_to_num(), there.to(x.dtype), *embedded], dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, numbers + categories) -> outputs (B, num_outputs)."""
        return self.head(self.features(x))
